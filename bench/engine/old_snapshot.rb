# frozen_string_literal: true

require "pg"

module Bench
  # A session as that of a long report: its transaction stays open, and nothing that was alive when it began may be
  # removed.
  class OldSnapshot
    # Takes the snapshot, which every later statement of the transaction has.
    QUERY = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasker_tasks"

    # Holds it during the block.
    #
    # @param url [String] of the database
    # @yieldparam snapshot [OldSnapshot]
    # @return [Object] what the block returned
    # @example
    #   OldSnapshot.hold(url) { |snapshot| snapshot.problems(client.doctor(old_transaction: 0)) } # => []
    def self.hold(url)
      connection = PG.connect(url)
      connection.exec(QUERY)
      yield new(connection.backend_pid)
    ensure
      connection&.close
    end

    # @param pid [Integer] of the session
    def initialize(pid)
      @pid = pid
    end

    # @param report [Hash{String => Object}] what the doctor said while the transaction was open
    # @return [Array<String>] what is wrong with it, in words; empty when it names this session
    def problems(report)
      named = report.fetch("warnings").select { |warning| warning.fetch("name") == "long_transaction" }
      return [] if named.any? { |warning| warning.dig("facts", "pid") == @pid }

      ["tasker doctor does not name session #{@pid}, whose transaction holds a snapshot"]
    end
  end
end
