# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # No step starts before its parents have ended as its join policy asks for, nor while its task is paused.
    class Order < Judge
      private

      def judge
        @steps.each_value do |step|
          left = step.transitions.select { |change| change.from == "pending" && starts?(change) }
          left.each { |change| judge_start(step, change) }
          judge_ledger(step)
        end
        judge_pauses
      end

      def starts?(change)
        %w[enqueued in_progress].include?(change.to)
      end

      # By the history: what parents were when the step left pending.
      def judge_start(step, left)
        parents = parents(step, left)
        return if Join.of(step.name).ready?(parents.map { |name| seen(name, step.name, left) })

        states = parents.map { |name| "#{name} was #{state_at(name, left)}" }
        tell("it started when #{states.join(", ")}", step)
      end

      # Those that there were then.
      def parents(step, change)
        @graph.fetch(step.name).select { |name| change.nil? || Growth.there?(record, name, change) }
      end

      def claim(step, execution)
        step.transitions.find { |change| change.event == "claimed" && change.attempt == execution.attempt }
      end

      def seen(parent, child, left)
        expectation.seen(parent, child, state_at(parent, left))
      end

      def state_at(name, left)
        @steps[name]&.state_before(left) || "missing"
      end

      # By the ledger: what handlers recorded of themselves.
      def judge_ledger(step)
        step.executions.each do |execution|
          parents = parents(step, claim(step, execution))
          seen = parents.map { |name| seen_in_ledger(name, step.name, execution) }
          next if Join.of(step.name).ready?(seen)

          open = parents.zip(seen).filter_map { |name, how| name if how == :open }
          tell("attempt #{execution.attempt} began before #{open.join(", ")} completed", step) if open.any?
        end
      end

      # One that did not end by its handler counts as it ended; one that had failed may have been tried again since.
      def seen_in_ledger(parent, child, execution)
        step = @steps[parent] or return :open
        # It ended several times: what was when, the history knows.
        return :complete if step.redone.any?

        since = step.state == "cancelled" || step.completed_after?(execution.started_ns)
        return expectation.seen(parent, child, step.state) unless since

        step.failed_before?(execution.started_ns) ? :failed : :open
      end

      # From the transition that pauses the task to the one that ends that.
      def judge_pauses
        record.transitions.each_cons(2) do |one, other|
          next unless one.to == "paused"

          @steps.each_value { |step| judge_pause(step, one.id..other.id) }
        end
      end

      def judge_pause(step, ids)
        claimed = step.transitions.find { |change| change.event == "claimed" && ids.cover?(change.id) } or return
        tell("attempt #{claimed.attempt} was claimed while the task was paused", step)
      end
    end
  end
end
