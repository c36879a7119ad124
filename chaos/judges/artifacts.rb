# frozen_string_literal: true

require_relative "judge"
require_relative "../attachment"

module Chaos
  module Judges
    # An attempt whose end was accepted has what its handler attached, and no other has anything.
    class Artifacts < Judge
      private

      def judge
        @steps.each_value do |step|
          there = step.artifacts.to_h
          attached = attached(step)
          (there.keys | attached.keys).sort.each do |attempt|
            judge_attempt(step, attempt, there.fetch(attempt, {}), attached.fetch(attempt, {}))
          end
        end
      end

      # By attempt.
      def attached(step)
        by_handlers = step.ends.select do |ended|
          Executions::ACCEPTED.include?(ended.outcome) && step.execution(ended.attempt)
        end
        by_handlers.to_h { |ended| [ended.attempt, Attachment.of(record.seed, step.name, ended.attempt)] }
      end

      # One that was ended for its time has what its handler had attached by then, if its worker ended it.
      def too_late?(step, attempt, there)
        ended = step.ends.find { |one| one.attempt == attempt }
        ended&.outcome == Executions::TOO_LATE && there == Attachment.of(record.seed, step.name, attempt)
      end

      def judge_attempt(step, attempt, there, attached)
        return if there == attached || too_late?(step, attempt, there)

        tell("attempt #{attempt} attached #{attached.inspect}, there is #{there.inspect}", step)
      end
    end
  end
end
