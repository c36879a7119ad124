# frozen_string_literal: true

require "tmpdir"

RSpec.describe "A worker that is killed", :database do
  include CommandLine
  include Workflows

  let(:folder) { Dir.mktmpdir }
  let(:ledger) { File.join(folder, "ledger") }
  let(:workflow) { File.join(CommandLine::ROOT, "spec/fixtures/crash_workflow.rb") }
  let(:died) { "SELECT workflow_step_id FROM tasker_attempts WHERE outcome = 'worker_died'" }

  before do
    load workflow
    @task_id = TaskerCore.submit("crash", context: { ledger: ledger })
  end

  after do
    TaskerCore.registry.clear
    FileUtils.remove_entry(folder)
  end

  def working(&block)
    tasker_running("work", "-r", workflow, "-c", "4", &block)
  end

  def complete_steps
    sql("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'complete'").first.fetch("count").to_i
  end

  def claims
    sql("SELECT workflow_step_id FROM tasker_workflow_steps WHERE state = 'in_progress'").map(&:values)
  end

  # Kills a worker with SIGKILL after so many steps of the graph, while it holds claims.
  def kill_in_the_middle(after:)
    working do |worker|
      wait_until("#{after} steps are complete") { complete_steps >= after }
      worker.signal("STOP")
      worker.signal("KILL")
      wait_until("the worker is dead") { worker.status }
    end
    claims
  end

  it "loses no step, completes none twice, and its attempts are on record" do
    held = [60, 120].map { |after| kill_in_the_middle(after: after) }
    expect(held).to all(be_any)
    working do |worker|
      TaskerCore.wait(@task_id, timeout: 60)
      worker.signal("TERM")
      wait_until("the worker has stopped") { worker.status }
    end

    result = TaskerCore.result(@task_id)
    recorded = sql("#{died} ORDER BY finished_at, workflow_step_id").map(&:values)
    completions = sql("SELECT workflow_step_id FROM tasker_workflow_step_transitions WHERE to_state = 'complete'")

    expect(result).to be_complete
    expect(recorded).to match_array(held.flatten(1))
    expect(completions.uniq.size).to eq(200)
    expect(completions.size).to eq(200)
    expect(result.steps.sum(&:attempts)).to eq(200 + recorded.size)
    expect(File.readlines(ledger).map { |line| line.split.first }.uniq.size).to eq(200)
  end

  it "has its claims taken back within ten seconds by the default settings" do
    kill_in_the_middle(after: 20)
    working do
      wait_until("the claims are taken back", within: 10) { sql(died).any? }
      TaskerCore.wait(@task_id, timeout: 60)
    end
  end
end
