# frozen_string_literal: true

require "json"
require_relative "../internal/canary"
require_relative "bulk_steering"

module TaskerCore
  class Client
    # Trying steps of many tasks again, some of them first. What goes for {BulkSteering} goes here.
    module BulkRetry
      # Seconds between two looks at the steps that were tried first.
      LOOK_EVERY = 0.25
      # Seconds that they are watched where nobody says how long.
      WATCH = 60
      # Most steps that are tried first.
      MOST_CANARIES = 1_000

      # Has steps tried again that are in error or blocked.
      #
      # With `canary` so many of them are tried first and watched until they have ended. If more than `tolerate` of them
      # fail again, the others are left alone, and the report says why. At the end of the time it goes on as well,
      # unless none of them has ended; a step that waits for another attempt has failed then.
      #
      # @param canary [Integer, nil] how many are tried first, up to 1,000. Default nil: none.
      # @param watch [Numeric, nil] with `canary`: seconds that they are watched at most. Default nil: 60.
      # @param tolerate [Integer, nil] with `canary`, and fewer: how many of them may fail again. Default nil: 0.
      # @param options [Hash{Symbol => Object}] actor, reason, rate, dry_run; which steps: as {Failures#failures}
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @raise [InvalidArgument]
      # @raise [DecryptionError] as {Failures#failures}
      # @example
      #   client.retry_all(error: "Net::ReadTimeout", reason: "the bank is back", canary: 5, rate: 20).ok?
      def retry_all(canary: nil, watch: nil, tolerate: nil, **options, &progress)
        trial = canary ? trial_of(canary, watch, tolerate) : refuse_of_canary({ watch: watch, tolerate: tolerate })
        with_failures("retry", options, progress, others: %i[canary watch tolerate]) do |bulk, filter, request|
          work = ->(target) { try_again(target.task_id, target.step, seen: target.seen, **request) }
          last = trial && !options[:dry_run] ? try_first(bulk, filter, canary, trial, &work) : nil
          bulk.run(targets_after(last, filter, bulk.batch), &work) unless bulk.stopped
        end
      end

      private

      def trial_of(canary, watch, tolerate)
        Internal::Check.whole(canary, "canary", 1..MOST_CANARIES)
        watch = watch.nil? ? WATCH : Internal::Check.age(watch, "watch")
        Internal::Canary.new(watch: watch, tolerate: tolerate.nil? ? 0 : fewer_than(canary, tolerate))
      end

      # As many failures as are tried first would never stop it.
      def fewer_than(canary, tolerate)
        return tolerate if tolerate.is_a?(Integer) && (0...canary).cover?(tolerate)

        allowed = canary == 1 ? "0" : "a whole number from 0 to #{canary - 1}"
        Internal::Check.refuse("tolerate", tolerate, "#{allowed}, fewer than canary")
      end

      def refuse_of_canary(given)
        name, value = given.compact.first
        Internal::Check.refuse(name.name, value, "nil without canary") if name
      end

      # Returns the id of the last step that was looked at.
      def try_first(bulk, filter, count, trial, &work)
        last = nil
        targets = targets_after(nil, filter, bulk.batch).map { |target| target.tap { last = target.step_id } }
        first = bulk.run(targets, most: count, &work)
        watch(bulk, first, trial) if first.any?
        last
      end

      def watch(bulk, steps, trial)
        started = Internal::Clock.seconds
        loop do
          verdict = trial.verdict(states_of(steps), Internal::Clock.seconds - started)
          bulk.canary = canary_report(steps, verdict)
          bulk.tell
          return bulk.stopped = verdict.decision if verdict.decision.is_a?(String)
          return if verdict.decision == :go_on

          sleep(LOOK_EVERY)
        end
      end

      def states_of(steps)
        ids = JSON.generate(steps.map(&:step_id))
        found = parse(native.step_states(ids)).to_h { |step| step.values_at("step_id", "state") }
        steps.map { |step| found.fetch(step.step_id, "cancelled") } # Pruned: nothing more is to be learned.
      end

      def canary_report(steps, verdict)
        failed = verdict.decision.is_a?(String) && verdict.failed.positive?
        { "steps" => steps.size, "complete" => verdict.complete, "failed" => verdict.failed, "open" => verdict.open,
          "failures" => failed ? failures_of(steps) : [] }.freeze
      end

      def failures_of(steps)
        steps.flat_map { |step| failures(task_id: step.task_id, step: step.step).map(&:to_h) }.freeze
      end
    end
  end
end
