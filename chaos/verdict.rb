# frozen_string_literal: true

require_relative "checker"
require_relative "clock"
require_relative "records"

module Chaos
  # How a run ends: what is open has to come to its end, workers have to end in order, and everything is checked.
  class Verdict
    include Clock

    # Seconds without any change after which what has not ended will not.
    STALLED = 90
    # Seconds between two looks at what is left.
    PAUSE = 0.25
    OPEN = "SELECT (SELECT count(*) FROM tasker_tasks WHERE finished_at IS NULL AND state <> 'blocked') + " \
           "(SELECT count(*) FROM tasker_follow_ups) AS count"
    CHANGES = "SELECT (SELECT count(*) FROM tasker_workflow_step_transitions) AS steps, " \
              "(SELECT count(*) FROM tasker_task_transitions) AS tasks"

    PAUSED = "SELECT task_id FROM tasker_tasks WHERE state = 'paused'"

    # @param server [Server]
    # @param fleet [Fleet]
    # @param asked [Asked] Default: nothing.
    def initialize(server, fleet, asked = Asked.new([], [], []))
      @server = server
      @fleet = fleet
      @asked = asked
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
      records = Records.new(@server, @asked)
      ids = []
      found = []
      records.each do |record|
        ids << record.id
        found.concat(Checker.new(record).violations)
      end
      [found, Checker.lost(@asked.receipts, ids), Checker.doubled(@asked.keys, records.keys), foreign(records),
       doctor, @fleet.complaints].sum([])
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
        resume
        seen = @server.rows(CHANGES)
        changed_at = now unless seen == changes
        changes = seen
        sleep(PAUSE)
      end
    end

    # A pause whose answer was lost may have come after its end.
    def resume
      ids = @server.rows(PAUSED).map { |row| row["task_id"].to_i }
      return if ids.empty?

      @server.client { |client| ids.each { |id| client.resume(id, actor: Request::RELEASER) } }
    rescue TaskerCore::InvalidTransition, TaskerCore::DatabaseUnavailable, TaskerCore::DatabaseError
      # It ended meanwhile, or the database is not up again: the next look tells.
      nil
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
  end
end
