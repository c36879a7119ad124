# frozen_string_literal: true

require_relative "judge"
require_relative "../anew"
require_relative "../growth"

module Chaos
  module Judges
    # With a step that is executed anew, those below it are, no other is, and what they had returned is kept.
    class Reruns < Judge
      # States of steps that are on their way already.
      ON_THEIR_WAY = %w[pending enqueued].freeze

      private

      def judge
        record.requests.each { |request| judge_request(request) if request.kind == :rerun }
        @steps.each_value { |step| judge_kept(step) }
      end

      def judge_request(request)
        changes = changes_by(request.actor)
        first = changes[request.step]
        below = Anew.with_those_below(@graph, [request.step])
        (changes.keys - below).each { |name| tell("#{request.actor} had #{request.step} executed anew, and #{name}") }
        return tell("it was not executed anew, those below it were", @steps[request.step]) if first.nil? && changes.any?

        below.each { |name| judge_below(request, @steps[name], first) unless changes.key?(name) } if first
      end

      # By name of the step.
      def changes_by(actor)
        changes = @steps.transform_values { |step| step.redone.find { |change| change.actor == actor } }
        changes.compact
      end

      def judge_below(request, step, first)
        state = step.state_before(first)
        return if ON_THEIR_WAY.include?(state)

        tell("it is #{state}, and #{request.actor} had #{request.step} above it executed anew", step)
      end

      def judge_kept(step)
        # What is kept of a list is what became of its items.
        return if Growth.map(step.name)

        returned = step.redone.filter_map { |change| returned_before(step, change) }
        return if step.kept.to_a == returned

        tell("it had returned #{returned.inspect} before, what is kept is #{step.kept.inspect}", step)
      end

      def returned_before(step, change)
        ended = step.transitions.reverse_each.find { |one| one.id < change.id }
        case change.from
        when "complete" then step.execution(ended.attempt)&.product
        when "resolved_manually" then { "by" => ended.actor }
        end
      end
    end
  end
end
