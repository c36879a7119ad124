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
      end

      # Without a key, one that was not answered may be there each time that it was sent.
      def judge_request(request, kept)
        tell("#{request.mark} is there #{kept.size} times") if kept.size > (request.repeatable? ? 1 : request.calls)
        tell("#{request.mark} was refused, and is there") if kept.any? && !request.possible?
        lost = request.ids - kept.map(&:id)
        tell("#{request.mark} was acknowledged as #{lost.join(", ")}, which is not there") if lost.any?
      end
    end
  end
end
