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
    record.receipt.requests.shift
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

  it_finds("a decision that comes before one that was sent earlier", "approved",
           /task 7: decision by mara comes after decision by ute, which was sent later/, such: sent) do |record|
    record.requests.first.answered_ns = 1
    SpoiledRecords.ask(record, :reject, sent_ns: 2).actor = "ute"
    record.signals.unshift(Chaos::Record::Signal.new(id: 0, name: "decision", payload: { "by" => "ute" }))
  end

  # A signal to all with the key, of whom the task was one, or not.
  to_all = lambda do |record, ids, sent_ns|
    record.receipt.made_ns = 2
    told = { number: 9, answered_at: 1.0 }
    request = SpoiledRecords.ask(record, :signal_all, told: told, ids: ids, sent_ns: sent_ns)
    request.answered_ns = sent_ns
    record.bulk = [record.receipt.requests.pop]
  end

  it_finds("a signal to all that was lost", "waiting", /signal 9 was sent to all, and is not there/,
           such: sent) do |record|
    to_all.call(record, [7], 1)
  end

  it_finds("a signal to all that did not reach one of them", "waiting",
           /signal 9 was sent to all, and is not there/, such: sent) do |record|
    to_all.call(record, [], 2)
  end

  it_finds("a signal to all that reached a task that was made later", "waiting",
           /signal 9 was sent to all before it was made, and is there/, such: sent) do |record|
    to_all.call(record, [], 2)
    record.requested_at = 1.1
    record.signals << Chaos::Record::Signal.new(id: 9, name: "maybe", payload: { "number" => 9 })
  end

  { "made later" => 1, "ended before" => 10**18 }.each do |what, sent_ns|
    it_lets("a signal to all not reach a task that was #{what}", "waiting", such: sent) do |record|
      to_all.call(record, [], sent_ns)
    end
  end
end
