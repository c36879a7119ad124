# frozen_string_literal: true

RSpec.describe "A worker whose handler lets no other thread run", :database do
  include CommandLine
  include Workflows

  let(:fixture) { File.join(CommandLine::ROOT, "spec/fixtures/greedy_workflow.rb") }
  let(:greedy) { "SELECT worker_id FROM tasker_workers WHERE pid = $1" }
  let(:attempts) { "SELECT attempt, outcome, worker_id FROM tasker_attempts ORDER BY workflow_step_id" }
  # Seconds since the last heartbeat of a process that has worked for a while.
  let(:silence) { <<~SQL }
    SELECT extract(epoch FROM clock_timestamp() - heartbeat_at) AS seconds
    FROM tasker_workers w
    WHERE pid = $1 AND EXISTS (SELECT FROM tasker_workflow_steps s
                               WHERE s.worker_id = w.worker_id AND s.claimed_at < now() - interval '0.5 seconds')
  SQL

  before { load fixture }

  after { Object.send(:remove_const, :GreedyWorkflow) }

  # Runs the task in a process of its own, while a worker of this one watches and claims nothing.
  def greedily_working
    watching = { queues: ["other"], **GreedyWorkflow::SHORT_LIFE }
    words = [RbConfig.ruby, "-w", "-I", File.join(CommandLine::ROOT, "lib"), fixture]
    working(**watching) do
      running(*words, env: { "DATABASE_URL" => database_url }) do |program|
        wait_until("the worker is there") { sql(greedy, program.pid).any? }
        yield program, TaskerCore.submit("greedy")
      end
    end
  end

  def stop(program)
    program.signal("TERM")
    wait_until("the worker has stopped") { program.status }
  end

  # With GREEDY_SECONDS=600 it is ten minutes.
  it "goes on beating and loses no claim", timeout: 60 + ENV.fetch("GREEDY_SECONDS", 4).to_i do
    silences = []
    greedily_working do |program, task_id|
      wait_until("the task is complete", within: GreedyWorkflow::SECONDS + 11) do
        silences.concat(sql(silence, program.pid).map { |row| row["seconds"].to_f })
        TaskerCore.status(task_id).state == "complete"
      end
      id = sql(greedy, program.pid).first.fetch("worker_id")
      result = TaskerCore.result(task_id)
      hog, *others = %w[hog first second].map { |name| result.results_of(name) }

      expect(hog["ended"] - hog["begun"]).to be >= GreedyWorkflow::SECONDS
      expect(others.map { |one| one["ended"] }).to all(be >= hog["begun"] + GreedyWorkflow::SECONDS)
      expect(sql(attempts)).to eq([{ "attempt" => "1", "outcome" => "succeeded", "worker_id" => id }] * 3)
      stop(program)
    end

    expect(silences.size).to be > 5 * GreedyWorkflow::SECONDS
    expect(silences.max).to be < GreedyWorkflow::SHORT_LIFE.fetch(:dead_after)
  end

  it "would lose all of them without its heartbeats" do
    greedily_working do |program, task_id|
      wait_until("the steps are claimed") { TaskerCore.status(task_id).steps_by_state["in_progress"] == 3 }
      program.signal("STOP")
      wait_until("the claims are taken back") { sql(attempts).map { |row| row["outcome"] } == ["worker_died"] * 3 }
      TaskerCore.cancel(task_id)
    end
  end
end
