# frozen_string_literal: true

require "json"
require "tasker_core"

module RecordedWorkflows
  # Stands for a piece of recorded work: sleeps as long as it took and writes a line to the log. How much faster
  # than recorded, and which log, is in the task's context, so that any worker process can execute it.
  class Replay < TaskerCore::StepHandler::Base
    # @return [nil] a replayed step has no results
    def process(task, _sequence, step)
      started = now
      seconds = step.config.fetch("runtime_s") * task.context.fetch("time_scale")
      sleep(seconds) if seconds.positive?
      done = true
      nil
    ensure
      write(task.context["log"], task: step.name, started: started, finished: now, ok: done || false, pid: Process.pid)
    end

    private

    # Seconds on the clock that all processes of a machine share, to the microsecond.
    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond) / 1_000_000.0
    end

    # One write in append mode: lines of several threads and processes do not mix.
    def write(path, line)
      return unless path

      File.open(path, File::WRONLY | File::APPEND | File::CREAT, 0o644) { |log| log.syswrite("#{line.to_json}\n") }
    end
  end
end
