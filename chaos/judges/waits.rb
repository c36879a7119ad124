# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # No wait ends before its time, and none misses a signal. By the ledger alone where that knows enough.
    class Waits < Judge
      # Seconds by which the server's clock, which decides, and the machine's may differ over a few seconds.
      TOLERANCE = 0.05

      private

      def judge
        @steps.each_value do |step|
          judge_delay(step)
          judge_wait(step, Wait.of(record.seed, step.name))
          judge_poll(step, Poll.of(record.seed, step.name)) if Poll::STEPS.include?(step.name)
          judge_decision(step) if Approval.of(record.seed, step.name)
        end
      end

      def judge_delay(step)
        delay = Wait::DELAYS[step.name] or return
        parents = @steps.values_at(*@graph.fetch(step.name)).compact
        ended = parents.filter_map { |parent| parent.completion&.finished_ns }.max
        began = step.executions.map(&:started_ns).min
        too_early(step, "began", ended, began, delay) if ended && began
      end

      def judge_wait(step, wait)
        return unless wait
        return judge_signal(step, wait) if wait.signal

        judge_times(step) { wait.seconds }
        slept = step.completion&.product
        tell("it did not wait", step) if slept && slept["slept"] != wait.seconds
      end

      # A retry has it begin at once. The block says how long the wait is before which the step has waited so often, and
      # which that execution begins; the first one to wait is the last argument.
      def judge_times(step)
        step.tries.each do |changes|
          waits = changes.each_index.select { |index| changes[index].event == "went_waiting" }
          waits.each_with_index do |index, number|
            pair = claimed_after(step, *changes[index, 2]) or next
            first = step.execution(changes[waits.first].attempt) || pair.first
            too_early(step, "went on", pair.first.finished_ns, pair.last.started_ns, yield(number, pair.first, first))
          end
        end
      end

      def judge_poll(step, poll)
        judge_times(step) { |waits, look, first| poll.interval(waits, (look.finished_ns - first.started_ns) / 1e9) }
        step.executions.each do |execution|
          looks = execution.product && execution.product["looks"] or next
          began = step.executions.count { |one| one.started_ns <= execution.finished_ns }
          next if looks.between?(poll.looks, began)

          tell("attempt #{execution.attempt} saw it true at look #{looks} of #{began}, it is at #{poll.looks}", step)
        end
      end

      def claimed_after(step, change, claimed = nil)
        return unless claimed&.event == "claimed"

        pair = [step.execution(change.attempt), step.execution(claimed.attempt)]
        pair if pair.all? && pair.first.finished_ns
      end

      def judge_signal(step, wait)
        step.executions.each do |execution|
          product = execution.product or next
          judge_told(step, execution, product["signal"], wait.signal) if product.key?("signal")
          judge_timeout(step, execution, wait) if product["timed_out"]
        end
      end

      # The first one counts, whatever came of the step since.
      def judge_decision(step)
        step.executions.each do |execution|
          told = execution.product && execution.product["decision"]
          judge_told(step, execution, told, step.name) if told
        end
      end

      # The first one of the name that there is.
      def judge_told(step, execution, payload, name)
        first = record.signals.find { |signal| signal.name == name }
        return if first && first.payload == payload

        tell("attempt #{execution.attempt} was told #{payload.inspect}, " \
             "the first signal #{name} is #{first&.payload.inspect}", step)
      end

      def judge_timeout(step, execution, wait)
        began = wait_before(step, execution)&.finished_ns
        too_early(step, "timed out", began, execution.finished_ns, wait.seconds) if began
        missed = record.requests.find { |request| sent_before?(request, wait.signal, execution) } or return
        tell("attempt #{execution.attempt} timed out, signal #{missed.told[:number]} had been acknowledged", step)
      end

      # The first attempt that waited; a retry has the handler wait anew.
      def wait_before(step, execution)
        waited = step.since_retry.find { |change| change.event == "went_waiting" && change.attempt < execution.attempt }
        waited && step.execution(waited.attempt)
      end

      def sent_before?(request, name, execution)
        return false unless request.told[:name] == name && request.acknowledged?

        request.answered_ns < execution.started_ns && (!request.bulk? || request.ids.include?(record.id))
      end

      def too_early(step, what, from_ns, till_ns, seconds)
        early = seconds - ((till_ns - from_ns) / 1e9)
        tell("it #{what} #{early.round(3)} s too early", step) if early > TOLERANCE
      end
    end
  end
end
