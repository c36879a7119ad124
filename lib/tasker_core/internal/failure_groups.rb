# frozen_string_literal: true

module TaskerCore
  module Internal
    # Counts failures by what they have in common. Pure.
    module FailureGroups
      # What the failures of a group have in common, and what it is called there: the items of a map step are one step.
      COMMON = { "namespace" => :namespace, "name" => :name, "version" => :version, "step" => :template_step,
                 "state" => :state, "error" => :error }.freeze

      module_function

      # @param failures [Enumerable<StepFailure>]
      # @return [Array<Hash{String => Object}>] the largest group first: what they have in common, count, first_at,
      #   last_at (times), message and task_id (of the last one); frozen
      # @example
      #   FailureGroups.of(failures).first["count"] # => 1204
      def of(failures)
        groups = failures.each_with_object({}) do |failure, found|
          key = COMMON.each_value.map { |name| failure.public_send(name) }
          found[key] = merge(found[key], failure)
        end
        sorted(groups).map { |key, group| COMMON.keys.zip(key).to_h.merge(group).freeze }.freeze
      end

      # @api private
      def merge(group, failure)
        at = failure.failed_at
        latest = { "last_at" => at, "message" => failure.message, "task_id" => failure.task_id }
        return { "count" => 1, "first_at" => at, **latest } unless group

        group.merge({ "count" => group["count"] + 1, "first_at" => [at, group["first_at"]].min },
                    at > group["last_at"] ? latest : {})
      end

      # @api private
      def sorted(groups)
        groups.sort_by { |key, group| [-group["count"], key.map(&:to_s)] }
      end
    end
  end
end
