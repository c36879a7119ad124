# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # A task has the priority with which it was submitted, or that of the task that it was made for.
    class Priorities < Judge
      private

      def judge
        wanted = record.wanted_priority
        tell("its priority is #{record.priority}, not #{wanted}") unless record.priority == wanted
      end
    end
  end
end
