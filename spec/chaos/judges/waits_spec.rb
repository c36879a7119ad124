# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Waits do
  extend SpoiledRecords

  timed_out = lambda do |record, late_s|
    step = record.step("patient")
    wait = Chaos::Wait.of(record.seed, "patient")
    execution = step.executions.last
    execution.product = { "timed_out" => true }
    execution.finished_ns = step.executions.first.finished_ns + ((wait.seconds + late_s) * 1e9).round
    execution
  end

  sent = SpoiledRecords.method(:send_signals)

  it_finds("a delay that was cut short", "waiting", /\(delayed\): it began 0.\d+ s too early/, such: sent) do |record|
    record.step("delayed").executions.each { |one| one.started_ns = record.step("begin").completion.finished_ns + 1 }
  end

  it_finds("a wait that was cut short", "waiting", /\(timer\): it went on .* s too early/, such: sent) do |record|
    record.step("timer").executions[1].started_ns = record.step("timer").executions[0].finished_ns + 1
  end

  it_finds("a wait that did not take place", "waiting", /\(timer\): it did not wait/, such: sent) do |record|
    record.step("timer").completion.product = { "attempt" => 2, "slept" => 77 }
  end

  it_finds("a handler that was told what no signal carries", "waiting",
           /\(approval\): attempt \d was told {"number"=>9}, the first signal go is/, such: sent) do |record|
    record.step("approval").executions.last.product["signal"] = { "number" => 9 }
  end

  it_finds("a second signal that was told before the first", "waiting",
           /\(approval\): attempt \d was told .*, the first signal go is {"number"=>9}/, such: sent) do |record|
    record.signals.unshift(Chaos::Record::Signal.new(id: 0, name: "go", payload: { "number" => 9 }))
  end

  it_finds("a wait that timed out too early", "waiting", /\(patient\): it timed out .* s too early/,
           such: sent) do |record|
    timed_out.call(record, -0.1)
  end

  it_finds("a wait that timed out although the signal had come", "waiting",
           /\(patient\): attempt \d timed out, signal \d had been acknowledged/, such: sent) do |record|
    execution = timed_out.call(record, 1.0)
    record.requests.find { |one| one.told[:name] == "maybe" }.answered_ns = execution.started_ns - 1
  end

  looks = ->(most) { ->(record) { sent.call(record) && Chaos::Poll.of(record.seed, "watched").looks <= most } }

  it_finds("a condition that was true before its time", "waiting",
           /\(watched\): attempt \d saw it true at look 1 of \d, it is at [2-5]/,
           such: ->(record) { sent.call(record) && !looks.call(1).call(record) }) do |record|
    record.step("watched").executions.last.product["looks"] = 1
  end

  it_finds("a condition that was true after more looks than there were", "waiting",
           /\(watched\): attempt \d saw it true at look 9 of \d, it is at [1-5]/, such: sent) do |record|
    record.step("watched").executions.last.product["looks"] = 9
  end

  it_finds("a look that came too early", "waiting", /\(watched\): it went on .* s too early/,
           such: ->(record) { sent.call(record) && !looks.call(2).call(record) }) do |record|
    record.step("watched").executions[2].started_ns = record.step("watched").executions[1].finished_ns + 160_000_000
  end

  # Whose time is over before the second look was to come.
  short = { such: lambda { |record|
    limit = Chaos::Poll.of(record.seed, "limited")
    sent.call(record) && limit.looks > 1 && limit.timeout < 0.105
  } }
  # Has it look for the second time so many seconds after its time was over.
  look_after = lambda do |record, seconds|
    first, second = record.step("limited").executions
    after = Chaos::Poll.of(record.seed, "limited").timeout + seconds
    second.started_ns = first.started_ns + (after * 1e9).round
  end

  it_lets("a last look come earlier than the others", "waiting", **short) { |record| look_after.call(record, 0) }

  it_finds("a last look that came too early", "waiting", /\(limited\): it went on 0.06 s too early/,
           **short) do |record|
    look_after.call(record, -0.06)
  end

  it_finds("a second decision that was told before the first", "approved",
           /\(decision\): attempt \d was told .*"by"=>"mara".*, the first signal decision is .*"by"=>"ute"/,
           such: sent) do |record|
    record.signals.unshift(Chaos::Record::Signal.new(id: 0, name: "decision",
                                                     payload: { "approved" => false, "by" => "ute" }))
  end
end
