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
          wait = Wait.of(record.seed, step.name) or next
          wait.signal ? judge_signal(step, wait) : judge_time(step, wait)
        end
        judge_signals
      end

      def judge_delay(step)
        delay = Wait::DELAYS[step.name] or return
        parents = @steps.values_at(*@graph.fetch(step.name)).compact
        ended = parents.filter_map { |parent| parent.completion&.finished_ns }.max
        began = step.executions.map(&:started_ns).min
        too_early(step, "began", ended, began, delay) if ended && began
      end

      # A retry has it begin at once.
      def judge_time(step, wait)
        step.transitions.each_with_index do |change, index|
          next unless change.event == "went_waiting"

          claimed = step.transitions[index + 1]
          pair = claimed_after(step, change, claimed) or next
          too_early(step, "went on", pair.first.finished_ns, pair.last.started_ns, wait.seconds)
        end
        slept = step.completion&.product
        tell("it did not wait", step) if slept && slept["slept"] != wait.seconds
      end

      def claimed_after(step, change, claimed)
        return unless claimed&.event == "claimed"

        pair = [step.execution(change.attempt), step.execution(claimed.attempt)]
        pair if pair.all? && pair.first.finished_ns
      end

      def judge_signal(step, wait)
        step.executions.each do |execution|
          product = execution.product or next
          judge_told(step, execution, product["signal"], wait) if product.key?("signal")
          judge_timeout(step, execution, wait) if product["timed_out"]
        end
      end

      # The first one of the name that there is.
      def judge_told(step, execution, payload, wait)
        first = record.signals.find { |signal| signal.name == wait.signal }
        return if first && first.payload == payload

        tell("attempt #{execution.attempt} was told #{payload.inspect}, " \
             "the first signal #{wait.signal} is #{first&.payload.inspect}", step)
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
        request.kind == :signal && request.told[:name] == name && request.acknowledged? &&
          request.answered_ns < execution.started_ns
      end

      def too_early(step, what, from_ns, till_ns, seconds)
        early = seconds - ((till_ns - from_ns) / 1e9)
        tell("it #{what} #{early.round(3)} s too early", step) if early > TOLERANCE
      end

      # What was acknowledged is there, once; what was refused is not; nothing else is.
      def judge_signals
        kept = record.signals.group_by { |signal| signal.payload["number"] }
        asked = record.requests.select { |request| request.kind == :signal }.to_h { |one| [one.told[:number], one] }
        asked.each { |number, request| judge_request(request, kept.fetch(number, [])) }
        (kept.keys - asked.keys).each { |number| tell("nobody sent signal #{number}") }
      end

      def judge_request(request, kept)
        name = "signal #{request.told[:number]}"
        tell("#{name} is there #{kept.size} times") if kept.size > 1
        tell("#{name} was refused, and is there") if kept.any? && !request.possible?
        lost = request.ids - kept.map(&:id)
        tell("#{name} was acknowledged as #{lost.join(", ")}, which is not there") if lost.any?
      end
    end
  end
end
