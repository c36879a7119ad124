# frozen_string_literal: true

require "pg"
require "tasker_core"
require_relative "map_queries"
require_relative "records"

module Bench
  # Whether a run left what it must: nothing missing, nothing doubled, nothing out of order. A fast wrong answer is no
  # answer.
  #
  # @example
  #   Check.new(settings, url).after_drain(steps: [1_048_576, 1_048_577]) # => []
  class Check
    # @param settings [Settings] what was to be done
    # @param url [String] of the database
    def initialize(settings, url)
      @settings = settings
      @url = url
    end

    # Every step was executed.
    #
    # @param steps [Array<Integer>] id of the step of each handler that the workers started
    # @param in_order [Boolean] whether the workers could record everything. Default: true.
    # @return [Array<String>] what is wrong, in words; empty when nothing is
    def after_drain(steps:, in_order: true)
      executed(steps.size, @settings.total_steps, in_order) + executed_once(steps, RecordQueries::STEPS) +
        recorded(RecordQueries::COMPLETE) + audited
    end

    # Every step was executed, and the tasks may have been deleted since.
    #
    # @param executions [Integer] handlers that the workers started
    # @param in_order [Boolean] whether the workers could record everything
    # @param steps [Integer] steps that were made
    # @return (see #after_drain)
    def after_soak(executions:, in_order:, steps:)
      executed(executions, steps, in_order) + audited
    end

    # Every item was executed, and the steps below the map steps after that, once, which have found the results of all.
    #
    # @param (see #after_drain)
    # @return (see #after_drain)
    def after_map(steps:, in_order: true)
      executed(steps.size, @settings.total_steps - @settings.tasks, in_order) +
        executed_once(steps, MapQueries::STEPS) + recorded(MapQueries::COMPLETE) + found + audited
    end

    # Subscribers were told of every change of state, and once.
    #
    # @param events [Array<Hash{String => Numeric}>] "count" and "dropped" of each process
    # @return (see #after_drain)
    def told(events)
      written = connected { |connection| connection.exec(RecordQueries::TRANSITIONS).getvalue(0, 0).to_i }
      count, dropped = %w[count dropped].map { |name| events.sum { |report| report.fetch(name) } }
      return [] if [count, dropped] == [written, 0]

      ["subscribers were told #{count} events of #{written} transitions, and #{dropped} were dropped"]
    end

    # The tasks that are kept are those that should be. Rows of the others may be left.
    #
    # @param complete [Integer] steps of tasks that are to be complete
    # @param pending [Integer] steps of tasks that are not to be begun
    # @return (see #after_drain)
    def kept(complete:, pending:)
      expected = { "complete" => complete, "pending" => pending }.reject { |_, steps| steps.zero? }
      found = connected { |connection| connection.exec(RecordQueries::STEPS_BY_STATE).values.to_h }
      found = found.transform_values(&:to_i)
      found == expected ? [] : ["steps by the state of their task are #{found}, not #{expected}"]
    end

    # Every task was made, and none was begun.
    #
    # @return (see #after_drain)
    def after_creation
      recorded(RecordQueries::CREATED) + audited
    end

    private

    def executed(executions, steps, in_order)
      told = []
      told << "handlers started #{executions} times for #{steps} steps" unless executions == steps
      told << "a worker could not record everything before it ended" unless in_order
      told
    end

    # What the handlers noted, whatever is recorded of them.
    def executed_once(steps, query)
      wanted = connected { |connection| connection.exec(query).column_values(0) }.map(&:to_i).tally
      ran = steps.tally
      wrong = (wanted.keys | ran.keys).reject { |id| ran[id] == wanted[id] }
      return [] if wrong.empty?

      told = wrong.first(Records::EXAMPLES).map do |id|
        "that of step #{id} #{ran.fetch(id, 0)} times, not #{wanted.fetch(id, 0)}"
      end
      ["handlers ran once for each step: #{wrong.size} did not, for instance #{told.join("; ")}"]
    end

    def found
      found = connected { |connection| connection.exec(MapQueries::FOUND).column_values(0) }
      return [] if found == [@settings.items.to_s] * @settings.tasks

      ["the steps below the map steps found #{found.join(", ")} items, not #{@settings.items} each"]
    end

    def recorded(queries)
      connected { |connection| Records.new(@settings, connection).problems(queries) }
    end

    def connected
      connection = PG.connect(@url)
      yield connection
    ensure
      connection&.close
    end

    def audited
      report = TaskerCore::Client.open(TaskerCore.configuration.with { |c| c.database_url = @url }, &:doctor)
      report.fetch("checks").reject { |check| check.fetch("ok") }
            .map { |check| "tasker doctor: #{check.fetch("name")}: #{check.fetch("detail")}" }
    end
  end
end
