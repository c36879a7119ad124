# frozen_string_literal: true

require "tmpdir"

# What is promised of a task is the same whichever of several worker processes executes its steps.
RSpec.describe "Two worker processes", :database do
  include CommandLine
  include Workflows

  workflow = File.join(CommandLine::ROOT, "spec/fixtures/conduct_workflow.rb")

  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }
  before { load workflow }

  # Two processes have executed steps, and what they have written is in order.
  after do
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to be >= 2
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  define_method(:at_work) { |&block| in_two_processes(workflow, &block) }

  def path(name)
    File.join(@folder, name)
  end

  def settle(ids)
    ids.each { |id| TaskerCore.wait(id, timeout: 60) }
    ids
  end

  def submit(count, **context)
    TaskerCore.submit_all("conduct", contexts: Array.new(count) { context })
  end

  def steps(id)
    TaskerCore.result(id).steps.to_h { |step| [step.name, [step.state, step.attempts]] }
  end

  def notes
    File.exist?(path("notes")) ? File.readlines(path("notes"), chomp: true).tally : {}
  end

  it "keep to retry limits, to what a failure means, and to the times that attempts and steps have" do
    conducts = [{ first: %w[again again] }, { first: %w[again again again] }, { first: "never" }, { first: "closed" },
                { second: "hang" }]
    late = nil
    ids = at_work do
      settle([late = TaskerCore.submit("conduct_late", context: { only: "hang" })])
      settle(TaskerCore.submit_all("conduct", contexts: conducts * 2))
    end
    seen = ids.map { |id| steps(id).values_at("first", "second", "beside") }
    done = ["complete", 1]
    left = ["pending", 0]
    expect(seen).to eq([[["complete", 3], done, done], [["error", 3], left, done], [["error", 1], left, done],
                        [["blocked", 1], left, done], [done, ["error", 3], done]] * 2)
    expect(ids.map { |id| TaskerCore.status(id).state }).to eq(%w[complete error error blocked error] * 2)
    expect(steps(late)).to eq("only" => ["error", 1])
  end

  it "steer tasks: those that are paused begin nothing, and those that are cancelled are cut off" do
    at_work do
      paused, cancelled = Array.new(2) { submit(10, first: "endless", notes: path("notes")) }
      wait_until("some run") { notes.fetch("began", 0) >= 4 }
      TaskerCore.pause_all(name: "conduct")
      cancelled.each { |id| TaskerCore.cancel(id) }
      paused.each { |id| TaskerCore.skip(id, "first") }
      settle(submit(10))
      begun = paused.map { |id| steps(id)["beside"] }
      expect(begun).to include(["enqueued", 0])
      expect(begun).to all(eq(["enqueued", 0]).or(eq(["complete", 1])))
      TaskerCore.resume_all(name: "conduct")
      settle(paused)
      wait_until("all were cut off") { notes["began"] == notes["ended"] }
      expect(paused.map { |id| steps(id).transform_values(&:first) }.uniq)
        .to eq([{ "first" => "skipped", "second" => "skipped", "beside" => "complete" }])
      expect(cancelled.map { |id| TaskerCore.status(id).state }.uniq).to eq(["cancelled"])
    end
  end

  it "try again what failed, canaries first, and go on where a person gives the results" do
    at_work do
      ids = settle(submit(20, first: "until_open", door: path("door")))
      expect(ids.map { |id| TaskerCore.status(id).state }.uniq).to eq(["error"])
      TaskerCore.resolve(ids.first, "first", results: "by hand")
      File.write(path("door"), "open")
      report = TaskerCore.retry_all(name: "conduct", step: "first", canary: 2)
      expect(report).to have_attributes(matched: 19, done: 19, refused: [])
      settle(ids)
      expect(ids.map { |id| TaskerCore.result(id).results_of("first") }).to eq(["by hand"] + ([2] * 19))
    end
  end

  it "make one task of an identity, keep the artifacts of every attempt, and tell each change once" do
    ids = at_work do
      ids = Array.new(20) do |number|
        submits = Array.new(2) do
          Thread.new { TaskerCore.submit("conduct", context: { first: ["again"] }, idempotency_key: "key-#{number}") }
        end
        submits.map(&:value).uniq
      end
      settle(ids.flatten)
    end
    expect(ids.size).to eq(20)
    kept = ids.map { |id| TaskerCore.artifacts(id).map { |one| [one.step_name, one.attempt, one.json["attempt"]] } }
    expect(kept.map(&:sort).uniq).to eq([[["beside", 1, 1], ["first", 1, 1], ["first", 2, 2], ["second", 1, 1]]])
    ids.each do |id|
      names = told.select { |event| event.task_id == id }.map(&:name).tally
      expect(names).to include("task.started" => 1, "step.claimed" => 4, "step.succeeded" => 3, "task.completed" => 1)
    end
    expect(told.map(&:number)).to eq(told.map(&:number).uniq.sort)
  end

  it "are not given a step again that has killed as many of them as may die over it" do
    poison, others = at_work do
      tasker_running("work", "-r", workflow, "-c", "2") do
        wait_until("all work") { TaskerCore.client.workers.size == 3 }
        poison = TaskerCore.submit("conduct_poison", context: { only: "die", notes: path("notes") })
        TaskerCore.wait(poison, timeout: 60)
        [poison, settle(submit(10))]
      end
    end
    expect(notes.values).to eq([1, 1])
    expect(others.map { |id| TaskerCore.status(id).state }.uniq).to eq(["complete"])
    expect(steps(poison)).to eq("only" => ["error", 2])
    explained = TaskerCore.explain(poison, step: "only")["steps"].first
    expect(explained["summary"]).to include("2 workers died while they executed it; it is not tried again")
    expect(explained["attempts"].map { |attempt| attempt["outcome"] }).to eq(%w[worker_died worker_died])
  end

  it "see tasks expire that are too old, whatever these do" do
    at_work do
      old = [{ first: "endless", notes: path("notes") }, { first: "wait" }].flat_map { |context| submit(3, **context) }
      wait_until("all are at it") { old.all? { |id| steps(id)["first"].last.positive? } }
      wait_until("some run and some wait") { notes["began"] == 3 && count("tasker_step_waits") == 3 }
      sql("UPDATE tasker_tasks SET requested_at = requested_at - interval '1 hour'")
      fresh = submit(3, first: "wait")
      report = TaskerCore.expire(older_than: 1_800, name: "conduct")
      expect(report).to have_attributes(done: 6, refused: [])
      wait_until("those that ran are cut off") { notes["ended"] == 3 }
      fresh.each { |id| TaskerCore.signal(id, "go") }
      expect([old, settle(fresh)].map { |ids| ids.map { |id| TaskerCore.status(id).state }.uniq })
        .to eq([["cancelled"], ["complete"]])
      expect(old.map { |id| TaskerCore.explain(id)["summary"] }).to all(include("expired"))
    end
  end

  # What the feed tells.
  def told
    @told ||= [].tap do |all|
      TaskerCore::Feed.new(from: :beginning).each_batch(follow: false) { |events| all.concat(events) }
    end
  end
end
