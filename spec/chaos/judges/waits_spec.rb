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

  # What was sent is in the records of {Chaos::Play} without having been asked for.
  sent = lambda do |record|
    record.signals.each do |signal|
      told = { name: signal.name, number: signal.payload["number"] }
      SpoiledRecords.ask(record, :signal, told: told, ids: [signal.id], answered_ns: 10**18)
    end
    true
  end

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
end
