# frozen_string_literal: true

require_relative "../../errors"
require_relative "../../internal/check"

module TaskerCore
  module Testing
    class Inline
      # Where workers die and attempts fail: as it was planned, or by chance.
      class Faults
        # Moments in which a worker dies: before and after a handler, and before and after its end is committed.
        POINTS = %i[before_process after_process before_commit after_commit].freeze
        # What a failing handler is replaced by.
        MESSAGE = "failed by chance, in a test"

        # A worker dies at this moment. No handler and no report may keep it from that.
        class Crash < Exception # rubocop:disable Lint/InheritException
          def message
            "the worker dies here, in a test"
          end
        end

        # What is planned.
        Fault = Struct.new(:point, :step, :attempt, keyword_init: true)
        # Chances, from 0.0 to 1.0, for each attempt that is a step's first.
        Chance = Struct.new(:random, :crashes, :failures, keyword_init: true)
        private_constant :Fault, :Chance

        def initialize
          @planned = []
          @chance = nil
        end

        # @param point [Symbol] of {POINTS}
        # @param step [String, Symbol] name
        # @param attempt [Integer] which of the step's attempts
        # @return [void]
        # @raise [InvalidArgument]
        def plan(point, step:, attempt:)
          point = Internal::Check.choice(point.to_s, "point", POINTS.map(&:to_s)).to_sym
          Internal::Check.whole(attempt, "attempt", 1..1_000)
          @planned << Fault.new(point: point, step: step.to_s, attempt: attempt).freeze
        end

        # By chance as well, while the block runs.
        #
        # @param seed [Integer]
        # @param crashes [Numeric] share of attempts whose worker dies, 0.0 to 1.0
        # @param failures [Numeric] share of attempts that fail, 0.0 to 1.0
        # @return [Object] what the block returned
        def by_chance(seed, crashes:, failures:)
          before = @chance
          @chance = Chance.new(random: Random.new(seed), crashes: crashes, failures: failures)
          yield
        ensure
          @chance = before
        end

        # @return [Boolean] steps are executed in an order by chance
        def shuffled?
          !@chance.nil?
        end

        # @param steps [Array] that could be executed
        # @return [Object] the one that is, taken out
        def pick(steps)
          steps.delete_at(@chance.random.rand(steps.size))
        end

        # Where the worker that executes this attempt dies, asked once for each attempt.
        #
        # @param step [String] name
        # @param attempt [Integer]
        # @return [Symbol, nil] of {POINTS}
        def crash_of(step, attempt)
          planned = @planned.find { |fault| fault.step == step && fault.attempt == attempt }
          return @planned.delete(planned).point if planned

          POINTS.sample(random: @chance.random) if strikes?(attempt, :crashes)
        end

        # @param attempt [Integer]
        # @return [Boolean] it fails instead of being executed
        def failure?(attempt)
          strikes?(attempt, :failures)
        end

        # @return [void]
        # @raise [InvalidArgument] a planned crash has not happened
        def check_all_happened
          left = @planned.first or return

          @planned.clear
          planned = "crash_at(:#{left.point}, step: #{left.step.inspect}, attempt: #{left.attempt})"
          raise InvalidArgument.new("#{planned} did not happen: no step of that name has made this attempt",
                                    details: { "key" => "step", "value" => left.step })
        end

        # @return [void]
        def clear
          @planned.clear
        end

        private

        # Later attempts are left alone, so that every task ends.
        def strikes?(attempt, what)
          @chance && attempt == 1 && @chance.random.rand < @chance[what]
        end
      end
    end
  end
end
