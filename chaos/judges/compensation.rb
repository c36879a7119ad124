# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # A task that failed or was cancelled is undone by one other where there is something to undo; no other is.
    class Compensation < Judge
      # States in which a task is undone.
      UNDONE = %w[error cancelled].freeze

      private

      def judge
        by = record.undone_by.to_a
        return tell("it is undone by tasks #{by.join(", ")}") if by.size > 1

        if by.one? && !undone?
          tell("there is nothing to undo, it is undone by task #{by.first}")
        elsif by.empty? && undone?
          tell("it is #{record.state}, and not undone")
        end
      end

      def undone?
        record.template == Undo::TEMPLATE && UNDONE.include?(record.state) &&
          @steps.values_at(*Undo::STEPS).compact.any? { |step| Undo::DONE.include?(step.state) }
      end
    end
  end
end
