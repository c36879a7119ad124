# frozen_string_literal: true

require "pg"
require "tasker_core"
require_relative "check_queries"

module Bench
  # Whether the database holds what a run must leave: nothing missing, nothing doubled, nothing out of order. A fast
  # wrong answer is no answer.
  #
  # @example
  #   Check.new(settings, url).after_drain(executions: 1000) # => []
  class Check
    # Examples that a problem names.
    EXAMPLES = 3

    # @param settings [Settings] what was to be done
    # @param url [String] of the database
    def initialize(settings, url)
      @settings = settings
      @url = url
    end

    # Every step was executed.
    #
    # @param executions [Integer] handlers that the workers started
    # @param in_order [Boolean] whether the workers could record everything. Default: true.
    # @return [Array<String>] what is wrong, in words; empty when nothing is
    def after_drain(executions:, in_order: true)
      told = []
      told << "handlers started #{executions} times for #{expected.fetch("steps")} steps" unless
        executions == expected.fetch("steps")
      told << "a worker could not record everything before it ended" unless in_order
      told + recorded(CheckQueries::COMPLETE)
    end

    # Every task was made, and none was begun.
    #
    # @return (see #after_drain)
    def after_creation
      recorded(CheckQueries::CREATED)
    end

    private

    def expected
      @expected ||= { "tasks" => @settings.tasks, "steps" => @settings.total_steps, "edges" => @settings.total_edges }
    end

    # The statistics are older than the rows otherwise, and the plans are for empty tables.
    def recorded(queries)
      connection = PG.connect(@url)
      connection.exec("ANALYZE")
      miscounts(connection) + queries.flat_map { |rule, query| breaches(connection, rule, query) } + audit
    ensure
      connection&.close
    end

    def miscounts(connection)
      CheckQueries::COUNTS.filter_map do |what, query|
        count = connection.exec(query).getvalue(0, 0).to_i
        "there are #{count} #{what}, not #{expected.fetch(what)}" unless count == expected.fetch(what)
      end
    end

    def breaches(connection, rule, query)
      rows = connection.exec("SELECT found, count(*) OVER () FROM (#{query}) AS q (found) LIMIT #{EXAMPLES}").values
      return [] if rows.empty?

      "#{rule}: #{rows.first.last} do not, for instance #{rows.map(&:first).join("; ")}"
    end

    def audit
      report = TaskerCore::Client.open(TaskerCore.configuration.with { |c| c.database_url = @url }, &:doctor)
      report.fetch("checks").reject { |check| check.fetch("ok") }
            .map { |check| "tasker doctor: #{check.fetch("name")}: #{check.fetch("detail")}" }
    end
  end
end
