# frozen_string_literal: true

require "tasker_core/internal/clock"
require_relative "checker"
require_relative "records"

module Chaos
  # How a run ends: what is open has to come to its end, workers have to end in order, and everything is checked.
  class Verdict
    # Seconds without any change after which what has not ended will not.
    STALLED = 90
    # Seconds between two looks at what is left.
    PAUSE = 0.25
    OPEN = "SELECT count(*) FROM tasker_tasks WHERE finished_at IS NULL AND state <> 'blocked'"
    CHANGES = "SELECT (SELECT count(*) FROM tasker_workflow_step_transitions) AS steps, " \
              "(SELECT count(*) FROM tasker_task_transitions) AS tasks"

    # @param server [Server]
    # @param fleet [Fleet]
    # @param receipts [Array<Load::Receipt>] what was acknowledged. Default: nothing.
    def initialize(server, fleet, receipts = [])
      @server = server
      @fleet = fleet
      @receipts = receipts
    end

    # Everything that was begun has to end, with the workers that are there and those that replace them; then the
    # workers have to end, and with nothing in their way they write everything before.
    #
    # @return [Float] seconds until everything had ended, or nothing changed any more
    def drain
      started = now
      wait
      drained = now - started
      stop
      drained
    end

    # @return [Array<String>]
    def violations
      records = Records.new(@server, @receipts)
      ids = []
      found = []
      records.each do |record|
        ids << record.id
        found.concat(Checker.new(record).violations)
      end
      found + Checker.lost(@receipts, ids) + foreign(records) + doctor + @fleet.complaints
    end

    # @return [Integer] tasks that have not ended
    def open_tasks
      @server.rows(OPEN).first.fetch("count").to_i
    end

    private

    def wait
      changed_at = now
      changes = nil
      until open_tasks.zero? || now - changed_at > STALLED
        @fleet.tend
        seen = @server.rows(CHANGES)
        changed_at = now unless seen == changes
        changes = seen
        sleep(PAUSE)
      end
    end

    def stop
      before = @fleet.sums[:not_in_order]
      @fleet.stop
      late = @fleet.sums[:not_in_order] - before
      @fleet.complaints << "#{late} workers could not write everything before they ended" if late.positive?
    end

    def foreign(records)
      records.foreign.map { |row| "task #{row["task_id"]}, step #{row["step_id"]}: executed, and not there" }
    end

    def doctor
      @server.client(&:doctor).fetch("checks").reject { |check| check.fetch("ok") }
             .map { |check| "tasker doctor: #{check.fetch("name")}: #{check.fetch("detail")}" }
    end

    def now
      TaskerCore::Internal::Clock.seconds
    end
  end
end
