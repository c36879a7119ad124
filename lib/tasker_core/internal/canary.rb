# frozen_string_literal: true

module TaskerCore
  module Internal
    # Says, from what is seen of a few steps that are tried again, whether the others follow. Pure: time is an argument.
    class Canary
      # States of steps that failed again.
      FAILED = %w[error blocked].freeze
      # States of steps from which nothing more is to be learned.
      ENDED = (FAILED + %w[complete skipped cancelled resolved_manually]).freeze

      # What was seen: how many steps completed, how many failed, how many are open; and what follows: `:wait`,
      # `:go_on`, or the reason to stop as text.
      Verdict = Struct.new(:complete, :failed, :open, :decision, keyword_init: true)

      # @param watch [Numeric] seconds after which it is decided
      # @param tolerate [Integer] steps that may fail again
      def initialize(watch:, tolerate:)
        @watch = watch
        @tolerate = tolerate
        freeze
      end

      # @param states [Array<String>] of the steps
      # @param elapsed [Numeric] seconds since they were to be tried again
      # @return [Verdict]
      # @example
      #   Canary.new(watch: 60, tolerate: 0).verdict(%w[complete error], 2.5).decision # => "1 of 2 failed again"
      def verdict(states, elapsed)
        over = elapsed >= @watch
        failed = states.count { |state| failed?(state, over) }
        open = states.count { |state| !ENDED.include?(state) && !failed?(state, over) }
        Verdict.new(complete: states.size - failed - open, failed: failed, open: open,
                    decision: decision(states.size, failed, open, over)).freeze
      end

      private

      # At the end of the time a step that waits for another attempt has failed as well.
      def failed?(state, over)
        FAILED.include?(state) || (over && state == "waiting_for_retry")
      end

      def decision(all, failed, open, over)
        return "#{failed} of #{all} failed again" if failed > @tolerate
        return :go_on if open.zero?
        return :wait unless over

        open == all ? "none of #{all} has ended after #{@watch} s; is a worker running?" : :go_on
      end
    end
  end
end
