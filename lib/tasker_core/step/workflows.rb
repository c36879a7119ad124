# frozen_string_literal: true

require "json"
require_relative "../internal/check"
require_relative "../internal/current_attributes"
require_relative "../internal/json_text"
require_relative "../step_handler/errors"

module TaskerCore
  class Step
    # How a handler runs another workflow and goes on with its results. See docs/subworkflows.md.
    module Workflows
      # Code of failures because a task ended otherwise than complete, or could not be made.
      FAILED = "WORKFLOW_FAILED"
      REFUSED = "WORKFLOW_REFUSED"
      UNKNOWN = "UNKNOWN_WORKFLOW"
      # Most steps that a message names.
      MOST_NAMES = 5

      # Runs another workflow: makes a task of it, once for this step and name, and ends the attempt until that has
      # ended. Then `process` is called again from its beginning, and this call returns what the task's last steps
      # returned.
      #
      # @param workflow [String, Symbol, nil] name of a template. Default nil: the one that the step's own template
      #   declares.
      # @param context [Hash, nil] what the task is submitted with. Default nil: what the step's template says, or the
      #   context of the step's own task.
      # @param namespace [String, nil] Default nil: "default"
      # @param version [String, nil] Default nil: the highest there is when the task is made
      # @param name [String, Symbol, nil] tells several calls of a handler apart, at most 100 bytes. Default nil: the
      #   workflow's name.
      # @param on_failure [Symbol] what becomes of this step when the task is in error or cancelled: :fail or :block
      # @param on_cancel [Symbol] what becomes of the task when this step is ended by others, as with its own task:
      #   :cancel or :leave
      # @return [Hash{String => Object}] the results of the steps that no other depends on, by name; frozen
      # @raise [WorkflowFailed] the task ended in error or was cancelled
      # @raise [BlockedError] the same with `on_failure: :block`; or there is no such template
      # @raise [PermanentError] an argument is not allowed, the template refuses the context; workflows run one another
      #   more than 16 deep
      # @example
      #   bill = step.run_workflow("billing", context: { order_id: task.context["order_id"] })
      #   bill.fetch("send_invoice")["number"]
      def run_workflow(workflow = nil, context: nil, namespace: nil, version: nil, name: nil, # rubocop:disable Metrics/ParameterLists -- which workflow, and how
                       on_failure: nil, on_cancel: nil)
        call = { workflow: workflow&.to_s, namespace: namespace, version: version, name: name&.to_s }
        on_failure = checked { Internal::Check.choice(on_failure, "on_failure", %w[fail block]) }
        run = run_of({ **call, on_cancel: on_cancel }, context)
        wait(nil, **run["wait"].transform_keys(&:to_sym)) if run["wait"]
        return run["results"] if run["results"]

        raise failure_of(run, on_failure || run["on_failure"])
      end

      private

      def run_of(call, context)
        checked do
          on_cancel = Internal::Check.choice(call[:on_cancel], "on_cancel", %w[cancel leave])
          json = JSON.generate({ **call, on_cancel: on_cancel }.compact)
          json = with_context(json, context) unless context.nil?
          current = Internal::CurrentAttributes.json(TaskerCore.configuration.current_attributes)
          json = with(json, "current_attributes", current) if current
          JSON.parse(@native.run_workflow(step_id, attempt, json), freeze: true, max_nesting: false)
        end
      rescue UnknownTemplate => e
        raise BlockedError.new("#{e.message}; register it, then have the step tried again", error_code: UNKNOWN)
      end

      # What is refused now will be in every attempt.
      def checked
        yield
      rescue InvalidContext, InvalidArgument => e
        raise PermanentError.new(e.message, error_code: REFUSED)
      end

      def with_context(json, context)
        Internal::Check.refuse("context", context, "nil or a Hash") unless context.is_a?(Hash)
        with(json, "context", Internal::JsonText.new(symbols: true, records: true).generate(context, what: "context"))
      end

      def with(json, key, text)
        comma = json == "{}" ? "" : ","
        "#{json.delete_suffix("}")}#{comma}\"#{key}\":#{text}}"
      end

      def failure_of(run, how)
        message = "task #{run["task_id"]} (#{run["workflow"]}) is #{run["state"]}#{failed_of(run["failed_steps"])}"
        (how == "block" ? BlockedError : WorkflowFailed).new(
          message, error_code: FAILED, context: run.slice("task_id", "state", "workflow", "failed_steps")
        )
      end

      def failed_of(steps)
        return "" if steps.empty?

        more = steps.size - MOST_NAMES
        "; failed: #{steps.first(MOST_NAMES).join(", ")}#{" and #{more} more" if more.positive?}"
      end
    end
  end
end
