# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # An attempt goes on where the last checkpoint of those before it was.
    class Checkpoints < Judge
      # Outcomes of attempts that ended as their handlers said.
      BY_ITSELF = %w[succeeded retryable permanent].freeze

      private

      def judge
        @steps.each_value do |step|
          next unless Batch.of(step.name)

          known = step.executions.select { |execution| execution.product&.key?("from") }
          known.sort_by(&:attempt).each { |execution| judge_start(step, execution, known) }
        end
      end

      def judge_start(step, execution, known)
        before = known.select { |one| one.attempt < execution.attempt }
        from = execution.product["from"]
        kept = last(before, "kept")
        tell("attempt #{execution.attempt} went on at #{from}, checkpoint #{kept} had been kept", step) if from < kept
        tried = last(ended_by_itself?(step, execution) ? before : known, "tried")
        tell("attempt #{execution.attempt} went on at #{from}, checkpoint #{tried} was the last", step) if from > tried
      end

      # Of those that these executions made themselves. Attempts whose first checkpoint was not recorded began where one
      # before them ended.
      def last(executions, what)
        executions.map(&:product).filter_map { |product| product[what] if product[what] > product["from"] }.max || 0
      end

      # A handler whose attempt others have ended may look where it is to go on after later attempts have gone on.
      def ended_by_itself?(step, execution)
        BY_ITSELF.include?(step.ends.find { |change| change.attempt == execution.attempt }&.outcome)
      end
    end
  end
end
