# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Timeouts do
  extend SpoiledRecords

  # Its time is over so many seconds after it could be claimed.
  def self.end_late(record, seconds, name = "works", **detail)
    step = record.step(name)
    began = step.transitions.first.at
    deadline = Time.at(began + seconds, in: "UTC").iso8601(6)
    change = SpoiledRecords.change(step, "error", "timed_out", deadline_at: deadline, **detail)
    change.at = began + seconds
    change
  end

  it_lets("a step be ended whose time is over", "timed") { |record| end_late(record, 1.5) }

  it_finds("a step that was ended before its time", "timed",
           /\(waits\): its time was over 1\.190 s too early/) { |record| end_late(record, 0.3, "waits") }

  it_lets("a step be ended whose worker stood still when it was to begin", "timed") do |record|
    record.step("waits").transitions.each { |change| change.at += 4 }
    end_late(record, -2.5, "waits")
  end

  it_finds("a step that was ended before it was late", "timed",
           /\(works\): its time was over 1\.000 s too early/) do |record|
    end_late(record, 1.5).at -= 1
  end

  it_lets("a step be ended whose next attempt would begin too late", "timed") do |record|
    began = record.step("works").transitions.first.at
    end_late(record, 1.5, retry_at: Time.at(began + 1.6, in: "UTC").iso8601(6)).at -= 1
  end

  it_finds("a step that was ended though its next attempt would begin in time", "timed",
           /\(works\): its time was over 0\.500 s too early/) do |record|
    began = record.step("works").transitions.first.at
    end_late(record, 1.5, retry_at: Time.at(began + 1, in: "UTC").iso8601(6))
  end

  it_finds("a step that has no limit and was ended", "chain", /\(s0\): its time was over, it has no limit/) do |record|
    SpoiledRecords.change(record.step("s0"), "error", "timed_out")
  end

  it_finds("an attempt long after the time was over", "timed",
           /\(works\): attempt 9 was claimed 28\.5 s too late/) do |record|
    change = SpoiledRecords.change(record.step("works"), "in_progress", "claimed", attempt: 9)
    change.at = record.step("works").transitions.first.at + 30
  end
end
