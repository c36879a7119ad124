# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # What was sent to a task and acknowledged is there, once; what was refused is not; nothing else is.
    class Signals < Judge
      private

      def judge
        kept = record.signals.group_by(&:mark)
        sent = record.requests.select(&:signal?)
        sent.each { |request| judge_request(request, kept.fetch(request.mark, [])) }
        (kept.keys - sent.map(&:mark)).each { |mark| tell("nobody sent #{mark}") }
        judge_order(sent, kept)
      end

      # What was acknowledged before another was sent comes before it.
      def judge_order(sent, kept)
        ids = sent.select(&:acknowledged?).to_h { |request| [request, kept.fetch(request.mark, []).map(&:id).min] }
        ids.compact.to_a.permutation(2) do |(one, id), (other, other_id)|
          next unless one.answered_ns < other.sent_ns && other_id < id

          tell("#{one.mark} comes after #{other.mark}, which was sent later")
        end
      end

      # Without a key, one that was not answered may be there each time that it was sent.
      def judge_request(request, kept)
        tell("#{request.mark} is there #{kept.size} times") if kept.size > (request.repeatable? ? 1 : request.calls)
        tell("#{request.mark} was refused, and is there") if kept.any? && !request.possible?
        request.bulk? ? judge_bulk(request, kept) : judge_lost(request, kept)
      end

      def judge_lost(request, kept)
        lost = request.ids - kept.map(&:id)
        tell("#{request.mark} was acknowledged as #{lost.join(", ")}, which is not there") if lost.any?
      end

      # It reaches the tasks with the key that there were, and had not ended.
      def judge_bulk(request, kept)
        return unless request.acknowledged?

        if kept.any?
          late = record.requested_at > request.told.fetch(:answered_at)
          tell("#{request.mark} was sent to all before it was made, and is there") if late
        elsif request.ids.include?(record.id) || (record.made_before?(request) && open_after?(request))
          tell("#{request.mark} was sent to all, and is not there")
        end
      end

      # By the ledger: it was executed since, and had not ended before.
      def open_after?(request)
        return false if record.transitions.count { |change| Ends::OVER.include?(change.to) } > 1

        record.steps.any? do |step|
          step.ends.any? { |ended| accepted_after?(step, ended, request.answered_ns) }
        end
      end

      def accepted_after?(step, ended, time_ns)
        execution = step.execution(ended.attempt)
        !execution.nil? && Executions::ACCEPTED.include?(ended.outcome) && execution.started_ns > time_ns
      end
    end
  end
end
