# frozen_string_literal: true

require_relative "record_queries"

module Bench
  # What a database holds, compared with what it should hold.
  #
  # @example
  #   Records.new(settings, connection).problems(RecordQueries::COMPLETE) # => []
  class Records
    # Examples that a problem names.
    EXAMPLES = 3

    # @param settings [Settings] what was to be done
    # @param connection [PG::Connection]
    def initialize(settings, connection)
      @connection = connection
      @expected = { "tasks" => settings.tasks, "steps" => settings.total_steps, "edges" => settings.total_edges }
    end

    # @param queries [Hash{String => String}] rule => query for what breaks it
    # @return [Array<String>] what is wrong, in words
    def problems(queries)
      # The statistics may be older than the rows, and the plans those for empty tables.
      @connection.exec("ANALYZE")
      miscounts + queries.flat_map { |rule, query| breaches(rule, query) }
    end

    private

    def miscounts
      RecordQueries::COUNTS.filter_map do |what, query|
        count = @connection.exec(query).getvalue(0, 0).to_i
        "there are #{count} #{what}, not #{@expected.fetch(what)}" unless count == @expected.fetch(what)
      end
    end

    def breaches(rule, query)
      rows = @connection.exec("SELECT found, count(*) OVER () FROM (#{query}) AS q (found) LIMIT #{EXAMPLES}").values
      return [] if rows.empty?

      "#{rule}: #{rows.first.last} do not, for instance #{rows.map(&:first).join("; ")}"
    end
  end
end
