# frozen_string_literal: true

require_relative "format"
require_relative "style"

module TaskerCore
  class CLI
    # Follows a task until it is over and shows how far it is: a bar that is drawn in place on a terminal,
    # a line now and then elsewhere.
    #
    # @example
    #   CLI::Progress.new(output).follow(timeout: 60) { client.status(42) }
    class Progress
      # States of steps that need no more work.
      SETTLED = %w[complete error cancelled resolved_manually skipped].freeze

      # Characters of the bar.
      BAR_WIDTH = 28

      # Seconds between two looks at a task: short at first, so that a small task is told at once; the
      # bound keeps a long one from costing the database anything.
      FIRST_PAUSE = 0.02
      LONGEST_PAUSE = 0.25

      # Seconds between two lines where there is no terminal.
      LINE_EVERY = 2.0

      # @param output [Output] where it is drawn
      # @param title [String] what stands before the bar. Default: "".
      # @param quiet [Boolean] draws nothing and only waits. Default: false.
      # @param clock [#call] seconds on a clock that never goes back. Default: the monotonic clock.
      # @param pause [#call] waits for a number of seconds. Default: Kernel#sleep.
      def initialize(output, title: "", quiet: false, clock: MONOTONIC, pause: Kernel.method(:sleep))
        @output = output
        @title = title
        @quiet = quiet
        @clock = clock
        @pause = pause
      end

      # The clock that is the same in all processes of a machine and never goes back.
      MONOTONIC = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }

      # Asks for the status again and again until nothing happens by itself any more: the task is over or blocked.
      #
      # @param timeout [Float, nil] seconds to wait at most; nil waits for ever. Default nil.
      # @yieldreturn [TaskStatus] the task's status at this moment
      # @return [TaskStatus] the last one seen: settled, or not yet when the time ran out
      # @example
      #   Progress.new(output, title: "orders").follow { client.status(42) }
      def follow(timeout: nil)
        started = @clock.call
        pause = FIRST_PAUSE
        loop do
          status = yield
          last = status.settled? || out_of_time?(started, timeout)
          show(status, @clock.call - started, last)
          return status if last

          @pause.call(pause)
          pause = [pause * 1.5, LONGEST_PAUSE].min
        end
      ensure
        end_line
      end

      # One line about a task's progress.
      #
      # @param status [TaskStatus]
      # @param elapsed [Float] seconds since the beginning
      # @return [String]
      # @example
      #   progress.text(status, 2.0) # => "graph  ███░░  612 of 1,000 steps  306/s  ▶ 8  ○ 24"
      def text(status, elapsed)
        done = settled(status)
        parts = [@title, bar(done, status.steps_total), "#{Format.count(done)} of #{steps(status)}",
                 rate(done, elapsed), *counts(status)]
        parts.reject(&:empty?).join("  ")
      end

      private

      def out_of_time?(started, timeout)
        timeout && @clock.call - started >= timeout
      end

      def show(status, elapsed, last)
        return if @quiet

        @output.tty? ? draw(status, elapsed) : write_line(status, elapsed, last)
      end

      def draw(status, elapsed)
        @output.redraw(text(status, elapsed))
        @drawn = true
      end

      # Also when the following was interrupted, so that what comes next has a line of its own.
      def end_line
        @output.line if @drawn
        @drawn = false
      end

      def write_line(status, elapsed, last)
        return unless last || due?(elapsed)

        @written_at = elapsed
        @output.line(text(status, elapsed))
      end

      def due?(elapsed)
        elapsed - (@written_at || 0.0) >= LINE_EVERY
      end

      def settled(status)
        status.steps_by_state.sum { |state, number| SETTLED.include?(state.to_s) ? number : 0 }
      end

      def steps(status)
        Format.many(status.steps_total, "step")
      end

      def bar(done, total)
        @output.style.bar(total.zero? ? 1.0 : done.fdiv(total), BAR_WIDTH)
      end

      def rate(done, elapsed)
        elapsed.positive? ? "#{Format.count((done / elapsed).round)}/s" : ""
      end

      def counts(status)
        status.steps_by_state.filter_map do |state, number|
          @output.style.state(state.to_s, Format.count(number)) unless number.zero? || state.to_s == "complete"
        end
      end
    end
  end
end
