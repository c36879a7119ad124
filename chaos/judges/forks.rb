# frozen_string_literal: true

require_relative "judge"
require_relative "../anew"

module Chaos
  module Judges
    # A fork was asked for, and takes over what the other task had done, but for what is to be executed.
    class Forks < Judge
      # State of a step of the other task => that of one that is copied.
      COPIED = { "complete" => "complete", "resolved_manually" => "complete", "skipped" => "skipped" }.freeze

      private

      def judge
        @steps.each_value { |step| judge_step(step) if step.transitions.any?(&:copied?) }
        judge_request if record.fork
      end

      def judge_request
        request = record.fork.request
        return tell("nobody asked for this fork by #{record.fork.actor}") unless request&.kind == :fork

        tell("it is a fork by #{request.actor}, which was refused") unless request.possible?
        from = record.fork.from
        tell("it is a fork from #{from.join(", ")}, asked for was #{request.step}") unless from == [request.step]
      end

      def judge_step(step)
        return tell("it was copied, and its task is no fork", step) unless record.fork

        anew = Anew.with_those_below(Anew::GRAPH, record.fork.from)
        tell("it was copied, and is to be executed", step) if anew.include?(step.name)
        tell("it was copied, and executed", step) if step.executions.any?
        judge_copy(step, *record.fork.steps.fetch(step.name))
      end

      def judge_copy(step, state, results)
        tell("it is #{step.state}, in task #{record.fork.task_id} it is #{state}", step) if COPIED[state] != step.state
        return if results == step.results

        tell("its results are #{step.results.inspect}, in task #{record.fork.task_id} #{results.inspect}", step)
      end
    end
  end
end
