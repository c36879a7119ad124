# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Hangs do
  extend SpoiledRecords

  hung = ->(record) { record.step("hangs").attempts == 3 }
  asked = ->(record) { record.step("asks").attempts == 2 }

  # The first of these events of the step, with the ones after it, comes so much earlier.
  def self.advance(step, event, seconds)
    from = step.transitions.index { |change| change.event == event }
    step.transitions.drop(from).each { |change| change.at -= seconds }
  end

  it_finds("an attempt that was ended before its time was over", "hung",
           /\(hangs\): attempt 1 was ended for its time 0\.200 s too early/, such: hung) do |record|
    advance(record.step("hangs"), "retry_scheduled", 0.2)
  end

  it_finds("an attempt that was claimed before its policy says", "hung",
           /\(hangs\): attempt 3 was claimed 0\.400 s too early/, such: hung) do |record|
    record.step("hangs").transitions.last(2).each { |change| change.at -= 0.4 }
  end

  it_finds("an attempt that was claimed before its handler had asked for", "hung",
           /\(asks\): attempt 2 was claimed 0\.390 s too early/, such: asked) do |record|
    record.step("asks").transitions.last(2).each { |change| change.at -= 0.4 }
  end

  it_lets("an attempt be claimed earlier that an operator has tried again", "hung", such: asked) do |record|
    step = record.step("asks")
    step.transitions.last(2).each { |change| change.at -= 0.4 }
    retried = step.transitions[-3].dup.tap { |change| change.id += 0.1 }
    retried.event = "retried"
    retried.outcome = nil
    step.transitions.insert(-3, retried)
  end
end
