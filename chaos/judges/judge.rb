# frozen_string_literal: true

module Chaos
  # The promises of the engine, by what they are about. Each judge has the {Record} of a task and the {Expectation} of
  # how it has to end.
  module Judges
    # One of them.
    class Judge
      # @param record [Record]
      # @param expectation [Expectation]
      def initialize(record, expectation)
        @record = record
        @expectation = expectation
        @steps = record.steps.to_h { |step| [step.name, step] }
        @graph = Graphs.of(record)
        @violations = []
      end

      # @return [Array<String>] what is wrong, with the ids of task and step; [] if nothing is
      def violations
        judge
        @violations
      end

      private

      attr_reader :record, :expectation

      def judge
        raise NotImplementedError
      end

      def tell(what, step = nil)
        where = step ? ", step #{step.id} (#{step.name})" : ""
        @violations << "task #{record.id}#{where}: #{what}"
      end
    end
  end
end
