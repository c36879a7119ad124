# frozen_string_literal: true

require "tmpdir"
require_relative "background"
require_relative "clock"
require_relative "fleet"
require_relative "member"

module Chaos
  # A consumer of the durable feed: a process that takes all events, through the connections that faults happen to, is
  # killed again and again, and started anew. In the end it takes what is left.
  class Consumer
    include Background

    # The program.
    PROGRAM = File.join(__dir__, "taker.rb")
    TABLES = <<~SQL
      CREATE TABLE chaos.taken (place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint NOT NULL);
      CREATE TABLE chaos.cursor (number bigint NOT NULL);
      INSERT INTO chaos.cursor VALUES (0);
    SQL
    TAKEN = "SELECT number FROM chaos.taken ORDER BY place"
    WRITTEN = <<~SQL
      SELECT workflow_step_transition_id AS number FROM tasker_workflow_step_transitions
      UNION ALL SELECT task_transition_id FROM tasker_task_transitions ORDER BY 1
    SQL
    # Transactions that may keep the feed waiting: also of hosts that are gone, until the server ends them.
    OPEN = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
    # Seconds until a process is killed.
    LIVES = (0.5..5.0)
    # Seconds between two looks, and that the last process may take.
    PAUSE = 0.05
    PATIENCE = 120

    class << self
      # @param taken [Array<Integer>] numbers of events, in the order in which they were taken
      # @param written [Array<Integer>] numbers of the transitions that there are, in their order
      # @return [Array<String>] what is wrong; [] if each was taken once, and in order
      # @example
      #   Consumer.compare([1, 3], [1, 2, 3]) # => ["transition 2 was not taken from the feed"]
      def compare(taken, written)
        [*(written - taken).map { |number| "transition #{number} was not taken from the feed" },
         *(taken - written).map { |number| "event #{number} was taken from the feed, and is no transition" },
         *taken.tally.filter_map { |number, times| "event #{number} was taken #{times} times" if times > 1 },
         *taken.each_cons(2).filter_map { |one, other| "event #{other} was taken after event #{one}" if other < one }]
      end
    end

    # @param url [String] of the feed
    # @param server [Server] where the events are taken to
    # @param seed [Integer] when processes are killed
    def initialize(url, server, seed:)
      @url = url
      @server = server
      @random = Random.new(seed)
      @started = 0
    end

    # @return [Integer] processes that were started
    attr_reader :started

    # What was taken, compared with what there is, once nothing is written any more.
    #
    # @return [Array<String>] what is wrong
    def violations
      complaint = await_transactions || take_rest
      taken, written = [TAKEN, WRITTEN].map { |sql| @server.rows(sql).map { |row| row["number"].to_i } }
      [*complaint, *Consumer.compare(taken, written)]
    end

    private

    def run
      until stopping?
        taking(@url, follow: true) { |process| wait_for(process, @random.rand(LIVES)) { stopping? } }
        sleep(PAUSE)
      end
    end

    # @return [String, nil] what is wrong
    def await_transactions
      till = Clock.now + PATIENCE
      until @server.rows(OPEN).empty?
        return "a transaction is open after #{PATIENCE} s, and keeps the feed waiting" if Clock.now > till

        sleep(PAUSE)
      end
    end

    # @return [String, nil] what is wrong
    def take_rest
      taking(@server.url, follow: false) do |process|
        wait_for(process, PATIENCE)
        next "the consumer of the feed does not come to its end: #{process.last_words}" unless process.ended?

        process.complaint unless process.status.success?
      end
    end

    def taking(url, follow:)
      @started += 1
      Dir.mktmpdir("tasker-chaos-") do |folder|
        order = { "url" => url, "ledger_url" => @server.url, "follow" => follow }
        process = Member.new(order, library: Fleet::VERSIONS.values.first, log: File.join(folder, "log"),
                                    program: PROGRAM)
        yield process
      ensure
        process&.close
      end
    end

    def wait_for(process, seconds)
      till = Clock.now + seconds
      sleep(PAUSE) until process.ended? || Clock.now > till || (block_given? && yield)
    end
  end
end
