# frozen_string_literal: true

require "etc"
require "rbconfig"

RSpec.describe "A worker that gets hardly any CPU time", :database do
  include CommandLine
  include Workflows

  let(:fixture) { File.join(CommandLine::ROOT, "spec/fixtures/starved_workflow.rb") }
  let(:attempts) { "SELECT attempt, outcome, worker_id FROM tasker_attempts ORDER BY workflow_step_id" }
  let(:worker_id) { "SELECT worker_id FROM tasker_workers WHERE pid = $1" }
  # Seconds since the last heartbeat.
  let(:silence) { <<~SQL }
    SELECT extract(epoch FROM clock_timestamp() - heartbeat_at) AS seconds FROM tasker_workers WHERE pid = $1
  SQL

  before { load fixture }

  after { Object.send(:remove_const, :StarvedWorkflow) }

  # Runs the fixture's worker in a process of its own, while a worker of this one watches and claims nothing.
  def worker_process
    working(queues: ["other"], **StarvedWorkflow::SHORT_LIFE) do
      words = [RbConfig.ruby, "-w", "-I", File.join(CommandLine::ROOT, "lib"), fixture]
      running(*words, env: { "DATABASE_URL" => database_url }) do |program|
        wait_until("the worker is there") { sql(worker_id, program.pid).any? }
        yield program
      end
    end
  end

  # Each thread has a priority of its own.
  def give_way(pid)
    Dir.children("/proc/#{pid}/task").each do |thread|
      Process.setpriority(Process::PRIO_PROCESS, thread.to_i, 19)
    rescue Errno::ESRCH
      next # It has ended.
    end
  end

  # Two processes for each core that do nothing else than to compute; they give way to all but the worker.
  def with_busy_cores
    words = [RbConfig.ruby, "--disable-gems", "-e", "Process.setpriority(Process::PRIO_PROCESS, 0, 5); loop {}"]
    busy = Array.new(2 * Etc.nprocessors) { Process.spawn(*words) }
    yield
  ensure
    Process.kill("KILL", *busy)
    busy.each { |pid| Process.wait(pid) }
  end

  # Of one core, since the moment and the time that it had used up by then.
  def share_of_core(pid, since, used)
    (cpu_seconds(pid) - used) / (StarvedWorkflow.clock - since)
  end

  def cpu_seconds(pid)
    ticks = File.read("/proc/#{pid}/stat").split(") ").last.split.values_at(11, 12).sum(&:to_i)
    ticks.fdiv(Etc.sysconf(Etc::SC_CLK_TCK))
  end

  # With STARVED_SECONDS=600 STARVED_DEAD_AFTER=6 it is ten minutes, with a worker as it is by default.
  it "goes on beating and loses no claim", timeout: 120 + ENV.fetch("STARVED_SECONDS", 9).to_i do
    worker_process do |program|
      pid = program.pid
      task_id = TaskerCore.submit("starved")
      wait_until("the steps are executed") { TaskerCore.status(task_id).steps_by_state["in_progress"] == 2 }
      give_way(pid)
      silences = []
      since = StarvedWorkflow.clock
      used = cpu_seconds(pid)
      with_busy_cores do
        wait_until("the handlers have computed", within: StarvedWorkflow::SECONDS + 60) do
          silences.concat(sql(silence, pid).map { |row| row["seconds"].to_f })
          TaskerCore.status(task_id).state == "complete" || StarvedWorkflow.clock > since + StarvedWorkflow::SECONDS
        end
        expect(share_of_core(pid, since, used)).to be < 0.25
      end
      wait_until("the task is complete", within: 60) { TaskerCore.status(task_id).state == "complete" }

      id = sql(worker_id, pid).first.fetch("worker_id")
      expect(sql(attempts)).to eq([{ "attempt" => "1", "outcome" => "succeeded", "worker_id" => id }] * 2)
      expect(silences.max).to be < StarvedWorkflow::DEAD_AFTER
      program.signal("TERM")
      wait_until("the worker has stopped") { program.status }
    end
  end
end
