# frozen_string_literal: true

require "timeout"
require "tasker_core"
require_relative "graphs"

module Chaos
  # Makes tasks all the time and cancels a few, through the connections that faults happen to, and remembers what was
  # acknowledged.
  class Load
    # What was acknowledged to the client about a task: that it was made, and :acknowledged or :unsure that it was
    # cancelled, nil where nobody asked for that.
    Receipt = Struct.new(:task_id, :seed, :cancelled)

    # Most tasks that are made at once.
    MOST_AT_ONCE = 12
    # One in so many rounds makes many tasks at once; one in so many, tasks with a deadline. One in so many tasks is
    # cancelled.
    BULK = 8
    HURRIED = 20
    CANCELLED = 30
    # Seconds from a task's beginning to its deadline.
    DEADLINE = (0.5..10.0)
    # Seconds from a task's beginning to its cancellation, at most.
    CANCELLED_WITHIN = 1.5
    # Seconds after which a call that is not answered is given up: the client's own limit for a submit is longer.
    PATIENCE = 20
    # Seconds after a call that failed.
    PAUSE = 0.2
    # Where the client is told that a task is over already.
    OVER = TaskerCore::InvalidTransition

    # @return [Array<Receipt>] of the tasks that were acknowledged
    attr_reader :receipts
    # @return [Hash{Symbol => Integer}] calls that :failed, and that were :unanswered
    attr_reader :counts

    # @param url [String]
    # @param seed [Integer] which tasks are made
    # @param rate [Float] tasks a second
    def initialize(url, seed:, rate:)
      @configuration = TaskerCore.configuration.with { |config| config.database_url = url }
      @random = Random.new(seed)
      @rate = rate
      @receipts = []
      @to_cancel = []
      @counts = Hash.new(0)
    end

    # @return [void]
    def start
      @thread = Thread.new { run }
      @thread.name = "chaos-load"
    end

    # Makes no further tasks.
    #
    # @return [void]
    # @raise [StandardError] what ended it before
    def stop
      @stopping = true
      @thread&.join
    end

    private

    def run
      @client = TaskerCore::Client.new(@configuration)
      until @stopping
        many = @random.rand(BULK).zero? ? @random.rand(2..MOST_AT_ONCE) : 1
        pause = many / @rate
        submit(Graphs::TEMPLATES.sample(random: @random), Array.new(many) { @random.rand(2**31) })
        cancel_due
        sleep(pause)
      end
    ensure
      @client&.close
    end

    def submit(template, seeds)
      deadline = @random.rand(HURRIED).zero? ? @random.rand(DEADLINE) : nil
      options = { namespace: template.namespace, contexts: contexts(seeds, deadline), deadline: deadline }
      ids = attempt { @client.submit_all(template.name, **options) } or return

      ids.zip(seeds) { |id, seed| remember(Receipt.new(id, seed)) }
    end

    # They say that there is a deadline, for the check of tasks that were not acknowledged.
    def contexts(seeds, deadline)
      seeds.map { |seed| { "seed" => seed, "deadline" => deadline }.compact }
    end

    def remember(receipt)
      @receipts << receipt
      due = TaskerCore::Internal::Clock.seconds + @random.rand(CANCELLED_WITHIN)
      @to_cancel << [due, receipt] if @random.rand(CANCELLED).zero?
    end

    def cancel_due
      due, @to_cancel = @to_cancel.partition { |at, _| at <= TaskerCore::Internal::Clock.seconds }
      due.each { |_, receipt| cancel(receipt) }
    end

    def cancel(receipt)
      receipt.cancelled = :unsure
      receipt.cancelled = attempt { @client.cancel(receipt.task_id, reason: "chaos") } ? :acknowledged : :unsure
    rescue OVER
      receipt.cancelled = nil
    end

    # @return [Object, nil] nil: it failed, or perhaps took place
    def attempt(&block)
      Timeout.timeout(PATIENCE, &block)
    rescue TaskerCore::DatabaseUnavailable, TaskerCore::DatabaseError
      @counts[:failed] += 1
      sleep(PAUSE)
      nil
    rescue Timeout::Error
      @counts[:unanswered] += 1
      @client.close
      @client = TaskerCore::Client.new(@configuration)
      nil
    end
  end
end
