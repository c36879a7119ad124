# frozen_string_literal: true

require_relative "command"
require_relative "format"
require_relative "progress"

module TaskerCore
  class CLI
    # Shows the status of one task to people.
    class TaskReport
      # States that say that a task did not do what it was submitted for, or cannot without a person.
      FAILURES = %w[error cancelled blocked].freeze

      # The exit status of a command that was asked about a task in this state.
      #
      # @param state [String]
      # @return [Integer] {Command::FAILED} for error, cancelled and blocked, else {Command::OK}
      # @example
      #   TaskReport.exit_status("complete") # => 0
      def self.exit_status(state)
        FAILURES.include?(state) ? Command::FAILED : Command::OK
      end

      # Namespace, name and version on one line.
      #
      # @param namespace [String]
      # @param name [String]
      # @param version [String]
      # @return [String] for instance "shop/order_fulfilment 1.0.0"; the default namespace is left out
      # @example
      #   TaskReport.template_name("default", "order", "1.0.0") # => "order 1.0.0"
      def self.template_name(namespace, name, version)
        Format.clean("#{"#{namespace}/" unless namespace == "default"}#{name} #{version}")
      end

      # @param output [Output]
      def initialize(output)
        @output = output
      end

      # Writes the status.
      #
      # @param status [TaskStatus]
      # @param more [Hash{String => String}] names and values that follow. Default: none.
      # @return [void]
      # @example
      #   report.show(TaskerCore.status(42))
      def show(status, more = {})
        @output.line(@output.style.bold("task #{status.task_id}: #{template(status)}"))
        @output.pairs("state" => @output.style.state(status.state), "reason" => reason(status),
                      "priority" => priority(status), **kin(status),
                      "steps" => steps(status), "attempts" => Format.count(status.attempts_total),
                      "requested" => happened(status.requested_at), "started" => happened(status.started_at),
                      "deadline" => deadline(status), "budget" => budget(status),
                      "finished" => happened(status.finished_at),
                      "took" => took(status), **lineage(status), **more)
      end

      # Namespace, name and version on one line.
      #
      # @param status [#namespace, #name, #version]
      # @return [String] for instance "shop/order_fulfilment 1.0.0"; the default namespace is left out
      # @example
      #   report.template(status)
      def template(status)
        self.class.template_name(status.namespace, status.name, status.version)
      end

      # Seconds from the first start to the end, or to now.
      #
      # @param status [#started_at, #finished_at]
      # @return [String] a duration
      def took(status)
        Format.duration(Format.between(status.started_at, status.finished_at))
      end

      private

      def reason(status)
        status.reason && Format.clean(status.reason)
      end

      def priority(status)
        status.priority.to_s unless status.priority.zero?
      end

      # What it has to do with other tasks.
      def kin(status)
        parent = status.parent
        children = status.children.to_a.map do |child|
          "task #{child["task_id"]} (#{child["step"]}: #{child["name"]} #{child["version"]}, #{child["state"]})"
        end
        above = parent && "step #{parent["step"]} of task #{parent["task_id"]} (#{parent["state"]})"
        { "child of" => above && Format.clean(above),
          "runs" => children.any? ? Format.clean(children.join(", ")) : nil,
          "undoes" => status.compensates && "task #{status.compensates}",
          "undone by" => status.compensated_by && "task #{status.compensated_by}" }
      end

      def budget(status)
        budget = status.budget or return
        attempts = budget["max_attempts"] && "#{budget["attempts"]} of #{budget["max_attempts"]} attempts"
        cost = budget["max_cost"] && "#{budget["spent"]} of #{budget["max_cost"]} spent"
        [attempts, cost, budget["exhausted"] && "used up: #{budget["exhausted"]}"].compact.join(", ")
      end

      def lineage(status)
        from = status.forked_from
        { "fork of" => from && "#{from["task_id"]} from #{Format.clean(from["steps"].join(", "))}",
          "forks" => (status.forks.join(", ") if status.forks.any?) }
      end

      def deadline(status)
        return if status.terminal? || status.deadline_at.nil?

        left = Format.between(Time.now, status.deadline_at)
        "#{Format.moment(status.deadline_at)} (#{left.positive? ? "in #{Format.duration(left)}" : "passed"})"
      end

      def steps(status)
        parts = status.steps_by_state.reject { |_, number| number.zero? }.map do |state, number|
          @output.style.state(state.to_s, "#{Format.count(number)} #{state}")
        end
        retired = status.steps_retired
        more = "; #{Format.count(retired)} more of before a rerun" if retired.positive?
        "#{Format.count(status.steps_total)} (#{parts.join(", ")})#{more}"
      end

      def happened(timestamp)
        timestamp && "#{Format.moment(timestamp)} (#{Format.age(timestamp)})"
      end
    end
  end
end
