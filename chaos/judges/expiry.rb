# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # What expires was meant and old enough, and what was meant and old enough has ended.
    class Expiry < Judge
      # How the reason begins.
      REASON = "expired: "
      # Seconds by which the server's clock and the client's may differ, on one machine.
      TOLERANCE = 0.05

      private

      def judge
        asked = record.requests.select { |request| request.kind == :expire }
        expired = record.transitions.select { |change| change.reason.to_s.start_with?(REASON) }
        expired.each { |change| judge_change(change, asked.find { |request| request.actor == change.actor }) }
        asked.select(&:acknowledged?).each { |request| judge_request(request) }
      end

      def judge_change(change, request)
        return tell("it expired by #{change.actor.inspect}, and was not meant") unless request

        early = request.told.fetch(:older_than) - (change.at - record.requested_at)
        tell(format("it expired %.3f s too early", early)) if early > TOLERANCE
      end

      # By the age that it had when that was asked for, and when it was acknowledged. One that was committed long after
      # it was requested may not have been seen.
      def judge_request(request)
        sent, answered, age = request.told.values_at(:sent_at, :answered_at, :older_than)
        return if record.requested_at > sent - age - TOLERANCE || !record.made_before?(request)
        return if record.transitions.any? { |change| ended?(change) && change.at <= answered + TOLERANCE }

        tell("it was to expire by #{request.actor}, which was acknowledged, and did not end")
      end

      def ended?(change)
        Ends::OVER.include?(change.to)
      end
    end
  end
end
