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

  # Yields while the fixture's worker runs in a process of its own.
  def greedy_process(env = {})
    words = [RbConfig.ruby, "-w", "-I", File.join(CommandLine::ROOT, "lib"), fixture]
    running(*words, env: { "DATABASE_URL" => database_url, **env }) do |program|
      wait_until("the worker is there") { sql(greedy, program.pid).any? }
      yield program
    end
  end

  # Runs the task in a process of its own, while a worker of this one watches and claims nothing.
  def greedily_working
    watching = { queues: ["other"], **GreedyWorkflow::SHORT_LIFE }
    working(**watching) do
      greedy_process { |program| yield program, TaskerCore.submit("greedy") }
    end
  end

  def worker_id(program)
    sql(greedy, program.pid).first.fetch("worker_id")
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
      id = worker_id(program)
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

  it "has its attempt ended when its time is over, while the lock is kept, and its late end refused" do
    greedy_process("GREEDY_SECONDS" => "10", "TASKER_LOG" => "warn") do |program|
      id = TaskerCore.submit("greedy_late")
      expect(TaskerCore.wait(id, timeout: 30).state).to eq("error")
      freed = wait_until("the handler comes back", within: 30) { program.text[/the lock is free: (\S+)\n/, 1] }
      after = TaskerCore.submit("greedy_plain")
      expect(TaskerCore.wait(after, timeout: 30)).to be_complete

      expect(program.text).to match(/WARN .*a handler takes too long step_id=\d+ attempt=1\n.*the lock is free/m)
      ended = sql("SELECT outcome, extract(epoch FROM finished_at) AS at FROM tasker_attempts ORDER BY finished_at")
      expect(ended.map { |row| row["outcome"] }).to eq(%w[timeout succeeded])
      expect(ended.first["at"].to_f).to be < freed.to_f
      expect(TaskerCore.result(id).step("hog")).to have_attributes(
        state: "error", attempts: 1, results: nil, error: include("kind" => "timeout", "message" => /within 0\.5 s/)
      )
      stop(program)
    end
  end

  it "is killed by its supervisor, and replaced, when that takes too long" do
    words = ["work", "-r", fixture, "-p", "2", "-c", "1", "--hang-timeout", "3"]
    tasker_running(*words) do |supervisor|
      wait_until("both work") { TaskerCore.client.workers.size == 2 }
      before = TaskerCore.client.workers.map { |worker| worker["pid"] }
      id = TaskerCore.submit("greedy_once")
      expect(TaskerCore.wait(id, timeout: Workflows::PATIENCE_SECONDS)).to be_complete
      expect(sql(attempts).map { |row| row.values_at("attempt", "outcome") })
        .to contain_exactly(%w[1 worker_died], %w[2 succeeded])
      hung = supervisor.text[/process (\d+) executes attempt 1$/, 1].to_i
      expect(supervisor.text).to match(/ERROR .*worker process #{hung} has run no Ruby for 3.0 s/)
      wait_until("another is there") { TaskerCore.client.workers.count { |w| w["state"] == "running" } == 2 }
      expect(before - TaskerCore.client.workers.map { |worker| worker["pid"] }).to eq([hung])
    end
  end

  describe "for longer than others wait" do
    # Seconds that the lock is kept.
    let(:kept) { 20 }
    let(:claims) { "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress' AND worker_id = $1" }
    let(:ended) { <<~SQL }
      SELECT workflow_step_id >> 20 AS task_id, attempt, outcome, worker_id FROM tasker_attempts ORDER BY 1
    SQL

    def claimed_by(program)
      sql(claims, worker_id(program)).first.fetch("count").to_i
    end

    def executed(programs)
      programs.flat_map { |program| program.text.scan(/task (\d+) is executed/) }.flatten.map(&:to_i)
    end

    def complete?(ids)
      ids.all? { |id| TaskerCore.status(id).state == "complete" }
    end

    def submit_plain(count)
      TaskerCore.submit_all("greedy_plain", contexts: Array.new(count) { {} })
    end

    it "keeps its claim and gives back what no handler has begun, until it lets others run", timeout: 90 do
      greedy_process("GREEDY_SECONDS" => kept.to_s, "TASKER_LOG" => "warn") do |program|
        hog = TaskerCore.submit("greedy_alone")
        wait_until("the lock is kept") { program.text.include?("the lock is kept") }
        begun = GreedyWorkflow.clock
        unbegun = submit_plain(2)
        wait_until("they are claimed") { claimed_by(program) == 3 }
        executed_by_another = greedy_process do |other|
          wait_until("the other worker has executed them") { complete?(unbegun) }
          unbegun += submit_plain(3)
          wait_until("it has executed these too") { complete?(unbegun) }
          expect(GreedyWorkflow.clock - begun).to be < 12
          expect(program.text).to match(/WARN .*no thread comes for a step.* given_back=2 .*of task #{hog} /)
          wait_until("the lock is free", within: kept) { complete?([hog]) }
          stop(other)
          expect(executed([program, other])).to match_array(unbegun)
          worker_id(other)
        end
        after = submit_plain(2)
        wait_until("the worker works again") { complete?(after) }
        expect(executed([program])).to match_array(after)
        stop(program)

        id = worker_id(program)
        workers = [hog, *after].to_h { |task| [task, id] }.merge(unbegun.to_h { |task| [task, executed_by_another] })
        expect(sql(ended)).to eq(workers.sort.map do |task, worker|
          { "task_id" => task.to_s, "attempt" => "1", "outcome" => "succeeded", "worker_id" => worker }
        end)
        expect(program.text).to match(/worker #{id}: no thread came for a step within \d+\.\d s, and 2 steps/)
      end
    end
  end
end
