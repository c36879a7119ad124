# frozen_string_literal: true

require_relative "judge"
require_relative "../effects"

module Chaos
  module Judges
    # What a transactional handler does has happened once for each attempt that completed its step, and for no other.
    class Effects < Judge
      private

      def judge
        @steps.each_value do |step|
          completed = step.ends.select { |ended| ended.outcome == "succeeded" }.map(&:attempt)
          expected = Chaos::Effects.of?(step.name) ? completed : []
          next if step.effects.to_a.sort == expected.sort

          tell("effects of attempts #{step.effects.to_a.sort} are there, completed by #{expected.sort}", step)
        end
      end
    end
  end
end
