# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Signals do
  extend SpoiledRecords

  sent = SpoiledRecords.method(:send_signals)

  it_finds("a signal that is there twice", "waiting", /task 7: signal 1 is there 2 times/, such: sent) do |record|
    record.signals << record.signals.first
  end

  it_finds("a signal that was refused", "waiting", /task 7: signal 1 was refused, and is there/, such: sent) do |record|
    record.requests.first.answer = :refused
  end

  it_finds("a signal that was lost", "waiting", /signal 1 was acknowledged as 1, which is not there/,
           such: sent) do |record|
    record.signals.shift
  end

  it_finds("a signal that nobody sent", "waiting", /task 7: nobody sent signal 1/, such: sent) do |record|
    record.requests.shift
  end

  it_finds("a decision that is there more often than it was sent", "approved",
           /task 7: decision by mara is there 3 times/, such: sent) do |record|
    record.requests.first.calls = 2
    record.signals.push(*record.signals * 2)
  end

  it_finds("a decision that was lost", "approved", /decision by mara was acknowledged as 1, which is not there/,
           such: sent) do |record|
    record.signals.shift
  end

  it_lets("a decision be there as often as it was sent", "approved", such: sent) do |record|
    record.requests.first.calls = 2
    record.signals.push(*record.signals)
  end
end
