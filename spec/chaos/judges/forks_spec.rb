# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Forks do
  extend SpoiledRecords

  # Lets a task be a fork from "left" of one that ended in the same way.
  fork = lambda do |record|
    request = Chaos::Request.new(kind: :fork, step: "left", actor: "mara", told: {}, answer: :acknowledged)
    steps = record.steps.to_h { |step| [step.name, [step.state, step.results]] }
    record.fork = Chaos::Record::Fork.new(task_id: 3, from: ["left"], actor: "mara", request: request, steps: steps)
    record.steps.values_at(0, 2).each do |step|
      [step.executions, step.transitions].each(&:clear)
      step.attempts = 0
      step.state = "enqueued"
      SpoiledRecords.change(step, "complete", "copied", copied_from: 3, actor: "mara")
    end
    record
  end

  it_lets("a task take over what another one did", "forked", &fork)

  { "a fork that nobody asked for" => [/nobody asked for this fork by mara/, ->(record) { record.fork.request = nil }],
    "a fork that was refused" => [/a fork by mara, which was refused/,
                                  ->(record) { record.fork.request.answer = :refused }],
    "a fork from another step" => [/it is a fork from right, asked for was left/,
                                   ->(record) { record.fork.from = ["right"] }],
    "a copy in a task that is no fork" => [/\(stem\): it was copied, and its task is no fork/,
                                           ->(record) { record.fork = nil }],
    "a copy that is to be executed" => [/\(stem\): it was copied, and is to be executed/,
                                        ->(record) { record.fork.from = ["stem"] }],
    "a copy that was executed" => [/\(stem\): it was copied, and executed/, lambda do |record|
      record.step("stem").executions << record.step("leaf").executions.last
    end],
    "a copy of a step that was not complete" => [/\(stem\): it is complete, in task 3 it is error/,
                                                 ->(record) { record.fork.steps["stem"][0] = "error" }],
    "other results than those of the step" => [/\(stem\): its results are {.*}, in task 3 5/,
                                               ->(record) { record.fork.steps["stem"][1] = 5 }] }
    .each do |what, (message, spoil)|
    it_finds(what, "forked", message) { |record| spoil.call(fork.call(record)) }
  end

  [Chaos::Judges::Ends, Chaos::Judges::Executions, Chaos::Judges::History, Chaos::Judges::Order,
   Chaos::Judges::Steering].each do |judge|
    it "is nothing that #{judge} complains of" do
      record = Chaos::Play.of("forked") { |one| one.state == "complete" }
      expect(SpoiledRecords.judged(judge, fork.call(record))).to eq([])
    end
  end
end
