# frozen_string_literal: true

require_relative "../event"
require_relative "clock"
require_relative "failure_report"
require_relative "task_templates"

module TaskerCore
  module Internal
    # Tells the subscribers of this process what one worker has committed, in a thread that lives while there are
    # subscribers. Nothing waits for it but the worker's end, for a limited time.
    class Announcer
      # Events taken with one call of the native library.
      BATCH = 500
      # Longest wait in one call; bounds how long the thread outlives the last subscription.
      WAIT_MS = 250
      # Seconds that subscribers get at a worker's end, however short its own time limit is.
      LEAST_TIME = 1.0

      # Seconds between two looks whether the end has become urgent.
      LOOK = 0.1

      # @param native [Bridge::Worker]
      # @param logger [Logger]
      # @param subscriptions [Subscriptions]
      def initialize(native, logger, subscriptions)
        @native = native
        @logger = logger
        @subscriptions = subscriptions
        @templates = TaskTemplates.new(native)
        @pid = Process.pid
        @lock = Mutex.new
        @batch = []
        @ended = @killed = @warned = false
        @thread = nil
      end

      # Sees who subscribes: records what is wanted, and starts the thread when there is anybody. In a fork of the
      # worker's process nothing happens: its thread is not there.
      #
      # @return [void]
      def update
        return unless @pid == Process.pid

        @lock.synchronize do
          next if @ended

          @native.record_events(@subscriptions.wanted)
          hire unless @thread || idle?
        end
      end

      # Waits until everything that was committed has been told, after the native worker has stopped.
      #
      # @param deadline [Float] by {Clock}; after it and after {LEAST_TIME} the rest is dropped
      # @yieldreturn [Boolean] whether it is to end before; asked every {LOOK} seconds
      # @return [void]
      # @example
      #   announcer.finish(Clock.seconds + 25) { @stop == :at_once }
      def finish(deadline, &hurried)
        @lock.synchronize { @ended = true }
        return if ended_by?(deadline, &hurried)

        kill
        @native.give_up_events(@batch.size)
        warn_of_loss
      end

      private

      def ended_by?(deadline)
        least = Clock.seconds + LEAST_TIME
        while @thread&.alive?
          @thread.join(LOOK)
          now = Clock.seconds
          return false if now >= least && (now >= deadline || yield)
        end
        true
      end

      def kill
        @lock.synchronize { @killed = true }
        @thread.kill.join(LEAST_TIME)
      end

      def idle?
        @subscriptions.wanted.zero?
      end

      def hire
        @thread = Thread.new { work }
        @thread.name = "tasker-events"
      end

      # A subscriber may end the thread; the next one goes on with the next event.
      def work
        in_order = false
        tell_all
        in_order = true
      ensure
        replace unless in_order
      end

      # While a process exits, its threads are ended and no other can be made.
      def replace
        @lock.synchronize { hire unless @killed }
      rescue ThreadError
        nil
      end

      def tell_all
        tell(@batch)
        until retired?
          batch = @native.next_events(BATCH, WAIT_MS) or return
          full = batch.size == BATCH
          tell(@batch = batch)
          warn_of_loss if full
        end
      rescue Error => e
        @logger.error { "events are not told any more: #{FailureReport.line(e)}" }
      end

      # Under the lock, so that a subscription which comes now finds the thread or starts another.
      def retired?
        @lock.synchronize do
          retired = idle? && !@ended
          @thread = nil if retired
          retired
        end
      end

      def tell(batch)
        while (item = batch.shift)
          subscriptions = @subscriptions.by_number[item[0]]
          next if subscriptions.empty?

          event = Event.new(item, @templates)
          subscriptions.each { |subscription| tell_one(subscription, event) }
        end
      end

      def tell_one(subscription, event)
        subscription.call(event)
      rescue Exception => e # rubocop:disable Lint/RescueException -- whatever it is, the others are told
        @logger.error { "a subscriber of #{subscription.patterns.join(", ")} failed: #{FailureReport.line(e)}" }
      end

      def warn_of_loss
        return if @warned

        dropped = JSON.parse(@native.stats).fetch("events_dropped")
        return if dropped.zero?

        @warned = true
        @logger.warn { "subscribers are slower than the worker: #{dropped} events were dropped so far" }
      end
    end
  end
end
