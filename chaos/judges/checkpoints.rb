# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # An attempt goes on where the last checkpoint of those before it was.
    class Checkpoints < Judge
      private

      def judge
        @steps.each_value do |step|
          next unless Batch.of(step.name)

          known = step.executions.select { |execution| execution.product&.key?("from") }
          known.sort_by(&:attempt).each { |execution| judge_start(step, execution, known) }
        end
      end

      def judge_start(step, execution, known)
        before = known.select { |one| one.attempt < execution.attempt }.map(&:product)
        kept = before.map { |product| product["kept"] }.max || 0
        from = execution.product["from"]
        tell("attempt #{execution.attempt} went on at #{from}, checkpoint #{kept} had been kept", step) if from < kept
        judge_source(step, execution, [kept, *before.map { |product| product["tried"] }].max)
      end

      # Attempts whose first checkpoint was not recorded began where one before them ended.
      def judge_source(step, execution, tried)
        from = execution.product["from"]
        tell("attempt #{execution.attempt} went on at #{from}, checkpoint #{tried} was the last", step) if from > tried
      end
    end
  end
end
