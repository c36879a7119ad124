# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Polls do
  extend SpoiledRecords

  limited = ->(record) { record.step("limited") }
  poll = ->(record) { Chaos::Poll.of(record.seed, "limited") }
  waits = ->(record) { limited.call(record).transitions.count { |change| change.event == "went_waiting" } }
  # Tasks whose time was over: those that went on without, and those that failed.
  over = ->(record) { limited.call(record).executions.last&.product&.fetch("timed_out", false) }
  failed = { such: ->(record) { limited.call(record).state == "error" && over.call(record) }, state: "error" }
  # How the last attempt is recorded; what comes of it otherwise.
  ended = ->(record, **how) { how.each { |key, value| limited.call(record).transitions.last[key] = value } }
  # All that comes after the first look is as much later.
  later = lambda do |step, seconds|
    changes = step.transitions
    first = changes.index { |change| change.event == "went_waiting" }
    changes.drop(first + 1).each { |change| change.at += seconds }
  end

  it_finds("a poll that timed out too early", "waiting", /\(limited\): attempt \d timed out 0.\d+ s too early/,
           such: over) do |record|
    looks = limited.call(record).executions
    looks.last.finished_ns = looks.first.started_ns + ((poll.call(record).timeout - 0.06) * 1e9).round
  end

  it_finds("a poll that timed out without a limit", "waiting",
           /\(watched\): attempt \d timed out, it has no limit/) do |record|
    record.step("watched").executions.last.product["timed_out"] = true
  end

  it_finds("a poll that timed out at its first look", "waiting", /\(limited\): attempt 1 timed out at its first look/,
           such: ->(record) { poll.call(record).looks == 1 }) do |record|
    limited.call(record).executions.first.product["timed_out"] = true
  end

  again = lambda do |record, at, **how|
    limited.call(record).transitions.insert(at, Chaos::Record::Transition.new(id: 0, event: "retried", **how))
  end

  it_finds("a poll that timed out at its first look since an operator had it tried again", "waiting",
           /\(limited\): attempt \d timed out at its first look/, **failed) do |record|
    again.call(record, -3, attempt: limited.call(record).executions.last.attempt - 1)
  end

  it_lets("a poll wait on that an operator had looked at once", "waiting",
          such: ->(record) { waits.call(record) == 2 }) do |record|
    looks = limited.call(record).executions
    waited = limited.call(record).transitions.index { |change| change.event == "went_waiting" }
    again.call(record, waited + 1, attempt: looks[0].attempt)
    looks[1].started_ns = looks[0].finished_ns + ((poll.call(record).timeout + 0.06) * 1e9).round
  end

  it_finds("a poll that timed out although what it looks for was there", "waiting",
           /\(limited\): attempt \d timed out at look ([2-5]), it is true at \1/,
           such: ->(record) { waits.call(record).positive? && !over.call(record) }) do |record|
    look = limited.call(record).executions.last
    look.product["timed_out"] = true
    look.finished_ns += 2_000_000_000
  end

  it_finds("a poll that waits on when its time is over", "waiting",
           /\(limited\): attempt 2 waited again, its time had been over for 0.06\d s/,
           such: ->(record) { waits.call(record) == 2 }) do |record|
    looks = limited.call(record).executions
    looks[1].started_ns = looks[0].finished_ns + ((poll.call(record).timeout + 0.06) * 1e9).round
  end

  { "is tried again" => { to: "waiting_for_retry", event: "retry_scheduled", outcome: "retryable" },
    "is not in error" => { to: "blocked" }, "failed too often" => { event: "retries_exhausted" },
    "may be tried again" => { outcome: "retryable" }, "has another class" => { error: "TaskerCore::SignalTimeout" },
    "has no class" => { error: nil } }.each do |what, how|
    found = { to: "error", event: "failed_permanently", outcome: "permanent", error: "TaskerCore::PollTimeout", **how }
    it_finds("one that gave up and #{what}", "waiting",
             /\(limited\): attempt \d gave up, and ended as #{found.values.compact.join(", ")}\z/, **failed) do |record|
      ended.call(record, **how)
    end
  end

  it_finds("one that failed as those that give up, and did not", "waiting",
           /\(limited\): attempt \d did not give up, and ended as .* TaskerCore::PollTimeout/, such: over) do |record|
    ended.call(record, error: "TaskerCore::PollTimeout")
  end

  it_finds("a step that failed as those that give up, and does not poll", "waiting",
           /\(begin\): attempt \d did not give up, and ended as/) do |record|
    record.step("begin").transitions.last.error = "TaskerCore::PollTimeout"
  end

  it_lets("one that gave up lose its worker", "waiting", **failed) do |record|
    ended.call(record, to: "enqueued", event: "worker_died", outcome: "worker_died", error: nil)
  end

  it_finds("one that was over long before anybody looked again", "waiting",
           /\(limited\): attempt 2: 90\.\d s without a change, its time was over/, such: over) do |record|
    later.call(limited.call(record), 90.0 + poll.call(record).timeout)
  end

  it_finds("one that was over long before its last attempt ended", "waiting",
           /\(limited\): attempt \d: 90\.1 s without a change, its time was over/, **failed) do |record|
    changes = limited.call(record).transitions
    changes.last.at = [changes[-2].at, changes[1].at + poll.call(record).timeout].max + 90.1
  end

  it_lets("one be over for long whose task is paused", "waiting", such: over) do |record|
    later.call(limited.call(record), 90.0 + poll.call(record).timeout)
    record.transitions << Chaos::Record::Transition.new(id: 10**6, from: "paused", to: "in_progress", event: "resumed",
                                                        at: limited.call(record).transitions.last.at - 60)
  end

  it_lets("one that has no limit be looked after late", "waiting",
          such: ->(record) { Chaos::Poll.of(record.seed, "watched").looks > 1 }) do |record|
    later.call(record.step("watched"), 95.0)
  end
end
