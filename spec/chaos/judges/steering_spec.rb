# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Steering do
  extend SpoiledRecords

  change = SpoiledRecords.method(:change)
  ask = SpoiledRecords.method(:ask)

  it_finds("a pause that nobody asked for", "chain", /nobody asked for paused by "mara"/) do |record|
    change.call(record, "paused", "paused", actor: "mara")
  end

  it_finds("a cancellation that nobody asked for", "chain", /nobody asked for cancelled by nil/) do |record|
    change.call(record, "cancelled", "cancelled")
  end

  it_finds("something else than was asked for", "chain", /\(s0\): nobody asked for skipped by "mara"/) do |record|
    ask.call(record, :retry, step: "s0")
    change.call(record.step("s0"), "skipped", "skipped", actor: "mara")
  end

  has_items = ->(record) { record.step("pick[0]") }

  it_finds("a retry of a list that did not take place", "picked", /\(pick\): its retry by mara was acknowledged/,
           such: has_items) do |record|
    ask.call(record, :retry, step: "pick", seen: "error")
  end

  it_lets("a retry of a list take place in its items", "picked", such: has_items) do |record|
    ask.call(record, :retry, step: "pick", seen: "error")
    change.call(record.step("pick[0]"), "complete", "retried", actor: "mara")
  end

  it_finds("another step than was asked for", "chain", /\(s1\): nobody asked for skipped by "mara"/) do |record|
    ask.call(record, :skip, step: "s0")
    change.call(record.step("s0"), "skipped", "skipped", actor: "mara")
    change.call(record.step("s1"), "skipped", "skipped", actor: "mara")
  end

  it_finds("what took place though it was refused", "chain", /skipped by mara took place, it was refused/) do |record|
    ask.call(record, :skip, :refused, step: "s0")
    change.call(record.step("s0"), "skipped", "skipped", actor: "mara")
  end

  it_finds("what took place twice", "chain", /what mara asked for took place 2 times/) do |record|
    ask.call(record, :retry, step: "s0")
    2.times { change.call(record.step("s0"), "enqueued", "retried", actor: "mara") }
  end

  by_the_parent = lambda do |record, retries|
    record.parent = Chaos::Record::Parent.new(3, "in_progress", retries)
    2.times { change.call(record.step("s0"), "enqueued", "retried", actor: "task 3") }
  end

  it_lets("a step be tried again each time that the step is that runs its task", "chain") do |record|
    by_the_parent.call(record, 2)
  end

  it_finds("what took place twice because of one retry of the step that runs the task", "chain",
           /what task 3 asked for took place 2 times/) do |record|
    by_the_parent.call(record, 1)
  end

  it_finds("results that are not those that were given", "chain",
           /its results are not those of mara: {"by"=>"ute"}/) do |record|
    ask.call(record, :resolve, step: "s0")
    change.call(record.step("s0"), "resolved_manually", "resolved_manually", actor: "mara")
    record.step("s0").results = { "by" => "ute" }
  end

  it_finds("branches that were not taken so by who resolved", "routed",
           /mara took \["b0"\], by the history \["b1"\]/) do |record|
    ask.call(record, :resolve, step: "route", told: { take: ["b0"] })
    change.call(record.step("route"), "resolved_manually", "resolved_manually", actor: "mara", took: ["b1"])
    record.step("route").results = { "by" => "mara" }
  end

  it_lets("conditions on edges take branches of a step that is resolved", "routed") do |record|
    ask.call(record, :resolve, step: "plain")
    change.call(record.step("plain"), "resolved_manually", "resolved_manually",
                actor: "mara", took: Chaos::Branches.told(record.seed, "plain"))
    record.step("plain").results = { "by" => "mara" }
  end

  it_finds("branches that conditions on edges do not take", "routed",
           /mara took \[.*"merged"\], by the history nil/) do |record|
    ask.call(record, :resolve, step: "plain")
    change.call(record.step("plain"), "resolved_manually", "resolved_manually", actor: "mara")
    record.step("plain").results = { "by" => "mara" }
  end

  { skip: "s0", resolve: "s1" }.each do |kind, step|
    it_finds("a #{kind} that was acknowledged and lost", "chain",
             /\(#{step}\): #{kind} by mara was acknowledged, it is complete/) do |record|
      ask.call(record, kind, step: step)
    end
  end

  it_finds("a retry that was acknowledged and lost", "chain",
           /\(s0\): its retry by mara was acknowledged, and did not take place/) do |record|
    ask.call(record, :retry, step: "s0", seen: "error")
  end

  it_finds("a raise that nobody asked for", "budgeted", /nobody asked for budget_raised by "mara"/) do |record|
    change.call(record, record.state, "budget_raised", actor: "mara")
  end

  it_finds("a raise that history has not", "budgeted", /its raise by mara was acknowledged, and did not/) do |record|
    ask.call(record, :raise)
  end

  it_lets("a budget be raised while the task is paused", "budgeted") do |record|
    ask.call(record, :pause).actor = "ute"
    ask.call(record, :raise)
    change.call(record, "paused", "paused", actor: "ute")
    change.call(record, "paused", "budget_raised", actor: "mara")
  end

  it_lets("a task go on by itself", "chain") do |record|
    change.call(record, "waiting", "waiting")
    change.call(record, "in_progress", "resumed")
  end

  # Somebody had all tried again when the step was in error.
  all_again = lambda do |record, answer = :acknowledged|
    ask.call(record, :retry_all, answer, told: { tag: "frail" }, seen: [record.step("frail0").id])
    record.bulk = [record.receipt.requests.pop]
  end

  it_finds("a step that failed and was not tried again with all others", "frail",
           /\(frail0\): it had failed before mara had all tried again, and was not/, &all_again)

  it_lets("a step be tried again with all others", "frail") do |record|
    all_again.call(record)
    change.call(record.step("frail0"), "complete", "retried", actor: "mara")
  end

  it_finds("a step that was tried again though that was refused for all", "frail",
           /retried by mara took place, it was refused/) do |record|
    all_again.call(record, :refused)
    change.call(record.step("frail0"), "complete", "retried", actor: "mara")
  end

  it_finds("a pause that was acknowledged and lost", "chain",
           /its pause by mara was acknowledged, and did not/) do |record|
    ask.call(record, :pause)
  end

  it_finds("a task that stayed paused", "chain", /its end by ute; it stayed paused/) do |record|
    ask.call(record, :pause)
    ask.call(record, :resume).actor = "ute"
    change.call(record, "paused", "paused", actor: "mara")
    change.call(record, "in_progress", "resumed", actor: Chaos::Request::RELEASER)
  end

  it_lets("a task stay paused until the end whose pause was not answered", "chain") do |record|
    ask.call(record, :pause, :unsure)
    ask.call(record, :resume).actor = "ute"
    change.call(record, "paused", "paused", actor: "mara")
    change.call(record, "in_progress", "resumed", actor: Chaos::Request::RELEASER)
  end
end
