# frozen_string_literal: true

require "pg"
require_relative "figures"

module Bench
  # What each statement took, in all databases of a server but the one that is asked, from pg_stat_statements. The times
  # are those that pass while a statement is executed, waits for locks and for a core among them; planning and what
  # follows a COMMIT, the flush of the log above all, are not.
  #
  # @example
  #   profile = Profile.new(connection)
  #   profile.record { work }
  #   profile.per_step(1000).first # => {"statement" => "apply_decisions.sql", "us_per_step" => 21.4, ...}
  class Profile
    include Figures

    # Of a server that can be asked.
    SETTINGS = { "shared_preload_libraries" => "pg_stat_statements", "pg_stat_statements.track_utility" => "on" }.freeze
    # Where the engine's statements are.
    FOLDER = File.expand_path("../../src/store/sql", __dir__)
    # Statements that are told one by one, the longest first.
    MOST = 20
    # Letters of a statement that stands in no file.
    WIDTH = 60
    # What differs between a statement and its text there: constants and parameters.
    CONSTANT = /'(?:[^']|'')*'|\$\d+|-?\b\d+(?:\.\d+)?\b|\b(?:true|false|null)\b/i.freeze
    QUERY = <<~SQL
      SELECT query, sum(total_exec_time) * 1000, sum(calls), sum(rows)
      FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid
      WHERE datname <> current_database()
      GROUP BY query
    SQL
    private_constant :CONSTANT, :QUERY

    # @param connection [PG::Connection] of a superuser, to a server with {SETTINGS}
    def initialize(connection)
      @connection = connection
      connection.set_notice_processor { |_| nil }
      connection.exec("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    end

    # Forgets what was before, and remembers what was asked for during the block.
    #
    # @return [Object] what the block returned
    def record
      @connection.exec("SELECT pg_stat_statements_reset()")
      yield.tap { @statements = @connection.exec(QUERY).values }
    end

    # @param steps [Integer] that were made or executed
    # @return [Array<Hash{String => Object}>] each statement by its file, or its first words
    def per_step(steps)
      named = @statements.group_by { |query, *| name(query) }.transform_values { |rows| sums(rows) }
      sorted = named.map { |statement, values| [statement, *values] }.sort_by { |_, us, *| -us }
      others = sorted.drop(MOST)
      told = sorted.first(MOST)
      told << ["#{others.size} others", *sums(others)] if others.any?
      told.map { |statement, *values| described(statement, values, steps) }
    end

    private

    # Of all but the first column.
    def sums(rows)
      rows.map { |_, *values| values.map(&:to_f) }.transpose.map(&:sum)
    end

    def described(statement, values, steps)
      per_step = values.map { |value| rounded(value / steps) }
      { "statement" => statement, **%w[us_per_step calls_per_step rows_per_step].zip(per_step).to_h }
    end

    def name(query)
      text = skeleton(query)
      files.fetch(text, text[0, WIDTH])
    end

    def files
      @files ||= Dir.glob(File.join(FOLDER, "*.sql")).to_h { |path| [skeleton(File.read(path)), File.basename(path)] }
    end

    def skeleton(text)
      text.gsub(/--.*$/, "").gsub(CONSTANT, "?").split.join(" ").delete_suffix(";")
    end
  end
end
