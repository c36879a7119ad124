# frozen_string_literal: true

require_relative "clock"

module TaskerCore
  module Internal
    # The threads of a worker that execute steps. Each takes a step, executes it, reports, and takes the next until
    # there will be none any more. A thread that a handler ended is replaced.
    class Crew
      # Interrupts are deferred in these threads except where {Inbox} and {StepRunner} let them in: a step that was
      # taken is executed, and an attempt that ended is reported.
      DEFERRED = { Object => :never }.freeze
      # Seconds that {#kill} waits for threads to end.
      KILL_TIMEOUT = 1.0

      # @param size [Integer] number of threads
      # @param inbox [Inbox]
      # @param runner [StepRunner]
      # @yield [error] once for each thread that ends, from that thread; error [StandardError, nil] why it cannot go on
      def initialize(size:, inbox:, runner:, &ended)
        @inbox = inbox
        @runner = runner
        @ended = ended
        @closing = false
        @threads = Array.new(size)
        @working = Array.new(size) { |number| number }
        size.times { |number| hire(number) }
      end

      # Whether all threads have ended, or are past everything but telling so: asking them instead would miss the one
      # that tells.
      #
      # @return [Boolean]
      # @example
      #   wakeup.wait until crew.done?
      def done?
        @working.empty?
      end

      # Ends the threads in the middle of what they do.
      #
      # @return [Boolean] whether all have ended; one that is inside a long native call ends after it
      # @example
      #   crew.kill
      def kill
        @closing = true
        @threads.each(&:kill)
        deadline = Clock.seconds + KILL_TIMEOUT
        @threads.each { |thread| thread.join([deadline - Clock.seconds, 0].max) }
        done?
      end

      private

      def hire(number)
        @threads[number] = Thread.new { work(number) }
        @threads[number].name = "tasker-step-#{number + 1}"
      end

      def work(number)
        error = true
        error = Thread.handle_interrupt(DEFERRED) { execute_all }
      ensure
        @working.delete(number) unless error == true && replaced?(number)
        @ended.call(error == true ? nil : error)
      end

      # While a process exits, its threads are ended and no other can be made.
      def replaced?(number)
        !@closing && hire(number)
      rescue ThreadError
        false
      end

      def execute_all
        last_us = Inbox::SHORT_US
        while (item = @inbox.take(last_us))
          last_us = @runner.run(item)
        end
      rescue StandardError => e
        e
      end
    end
  end
end
