# frozen_string_literal: true

require_relative "../../bench/engine/check"
require_relative "../../bench/engine/map"
require_relative "small_run"

RSpec.describe Bench::Check, :database, doctor: false do
  def check
    described_class.new(SmallRun::SETTINGS, database_url)
  end

  it "finds nothing after a run in which all went well, and what is not in the records" do
    steps = SmallRun.drain(database_url).steps
    expect([steps.size, check.after_drain(steps: steps)]).to eq([10, []])
    expect(check.after_drain(steps: [*steps, 7], in_order: false))
      .to eq(["handlers started 11 times for 10 steps", "a worker could not record everything before it ended",
              "handlers ran once for each step: 1 did not, for instance that of step 7 1 times, not 0"])
    sql("INSERT INTO tasker_ready_steps VALUES ($1, 'default', now())", SmallRun::LAST_STEP)
    expect(check.after_drain(steps: steps)).to match([/\Atasker doctor: ready_steps:/])
  end

  it "finds a handler that ran twice and one that did not run, though the records are right" do
    steps = SmallRun.drain(database_url).steps
    missing, doubled = steps.first(2)
    expect(check.after_drain(steps: steps - [missing] + [doubled]))
      .to match([/\Ahandlers ran once for each step: 2 did not, for instance /])
    expect(check.after_drain(steps: steps - [missing] + [doubled]).first)
      .to include("that of step #{missing} 0 times", "that of step #{doubled} 2 times")
  end

  # Two tasks of three items.
  def run_map(settings)
    TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = database_url }) do |client|
      client.register(Bench::Map.template(settings))
      2.times { client.submit("bench_map", context: { numbers: [1, 2, 3] }) }
    end
    Bench::Fleet.open(settings, database_url) do |fleet|
      fleet.begin
      fleet.wait_for(8)
      fleet.stop.steps
    end
  end

  it "finds items that were executed twice, and steps below map steps that began too early or have not found them" do
    settings = SmallRun::SETTINGS.dup.tap { |small| small.workload = Bench::Workload.find("map") }
    map = described_class.new(settings, database_url)
    steps = run_map(settings)
    expect([steps.size, map.after_map(steps: steps)]).to eq([8, []])
    below = SmallRun::LAST_STEP - 3
    sql("UPDATE tasker_workflow_step_transitions SET claimed_at = claimed_at - interval '1 hour'
         WHERE outcome IS NOT NULL AND workflow_step_id = $1", below)
    sql("UPDATE tasker_workflow_steps SET results = '2' WHERE workflow_step_id = $1", below)
    sql("UPDATE tasker_workflow_step_transitions SET outcome = 'retryable'
         WHERE outcome IS NOT NULL AND workflow_step_id = $1", below + 1)
    problems = ["handlers started 9 times for 8 steps", /once for each step: 1 did not, .* #{below} 2 times/,
                /one attempt.*: 1 do not, .*step #{below + 1} has retryable/,
                /begin after all items have ended: 3 do not, for instance step #{below} began 00:59:/,
                "the steps below the map steps found 2, 3 items, not 3 each", /\Atasker doctor: attempts: /]
    expect(map.after_map(steps: [*steps, below])).to match(problems)
  end

  it "finds events that subscribers were not told, or told twice" do
    SmallRun.drain(database_url)
    written = sql(Bench::RecordQueries::TRANSITIONS).first.values.first.to_i
    one = { "count" => 4, "dropped" => 0 }
    told = ->(count, dropped) { check.told([one, { "count" => count, "dropped" => dropped }]) }
    expect(told.call(written - 4, 0)).to eq([])
    expect(told.call(written - 3, 0)).to match([/told #{written + 1} events of #{written} transitions, and 0 were/])
    expect(told.call(written - 4, 1)).to match([/and 1 were dropped/])
  end

  it "finds tasks that are kept or begun where it should be otherwise" do
    SmallRun.drain(database_url)
    expect(check.kept(complete: 10, pending: 0)).to eq([])
    SmallRun.submit(database_url)
    expect(check.kept(complete: 10, pending: 10)).to eq([])
    expect(check.kept(complete: 10, pending: 9))
      .to match([/\Asteps by the state of their task are .*10.*10.*, not .*10.*9/])
  end

  it "finds steps that do not wait to be executed as they should" do
    SmallRun.submit(database_url)
    expect(check.after_creation).to eq([])
    sql("UPDATE tasker_workflow_steps SET open_parents = 1 WHERE workflow_step_id = $1", SmallRun::LAST_STEP)
    expect(check.after_creation).to include(/step #{SmallRun::LAST_STEP} is pending with 1 of 3 parents open/)
  end

  it "finds a task that was begun where none should be" do
    SmallRun.submit(database_url)
    sql("UPDATE tasker_tasks SET state = 'in_progress', started_at = now() WHERE task_id = 1")
    expect(check.after_creation).to include(/tasks are pending: 1 do not, for instance task 1 is in_progress/)
  end
end
