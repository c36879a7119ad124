# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Expiry do
  extend SpoiledRecords

  # Somebody had tasks expire that were older than so many seconds, when this one was 5 s old.
  ask = lambda do |record, older_than|
    told = { older_than: older_than, sent_at: 5.0, answered_at: 6.0 }
    record.receipt.made_ns = 1
    SpoiledRecords.ask(record, :expire, told: told, sent_ns: 2)
    record.bulk = [record.receipt.requests.pop]
  end

  # So many seconds after it was requested it expired.
  expire = lambda do |record, seconds|
    record.transitions.pop
    record.state = "in_progress"
    change = SpoiledRecords.change(record, "cancelled", "cancelled", actor: "mara", reason: "expired: it was old")
    change.at = seconds
  end

  it_finds("a task that expired and was not meant", "chain", /it expired by "mara", and was not meant/) do |record|
    expire.call(record, 5.5)
  end

  it_finds("a task that expired too early", "stale", /it expired 4.500 s too early/) do |record|
    ask.call(record, 10.0)
    expire.call(record, 5.5)
  end

  it_finds("a task that was old enough and did not expire", "stale",
           /it was to expire by mara, which was acknowledged, and did not end/) do |record|
    ask.call(record, 4.0)
    expire.call(record, 6.5)
  end

  it_lets("a task expire that is old enough", "stale") do |record|
    ask.call(record, 4.0)
    expire.call(record, 5.5)
  end

  it_lets("a task stay that was not there yet when that was asked for", "stale") do |record|
    ask.call(record, 4.0)
    record.receipt.made_ns = 3
    expire.call(record, 6.5)
    record.transitions.last.detail["actor"] = record.bulk.first.actor
  end

  it_lets("a task stay that is not old enough", "stale") do |record|
    ask.call(record, 5.5)
    record.transitions.last.at = 9.0
  end
end
