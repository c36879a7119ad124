# frozen_string_literal: true

require_relative "../internal/bulk"
require_relative "../internal/check"

module TaskerCore
  class Client
    # Steps that are executed anew, with everything that depends on them.
    module Rerun
      # Has a step executed anew, and every step below it, as if nothing had ever become of them. What they returned is
      # kept as artifacts named `tasker.results.1` and so on; what the steps above returned stays. Attempts that run in
      # steps below come to nothing. A task that is complete or in error goes on. A step that has not begun, or runs,
      # stays as it is with those below it, so that a second call changes nothing. What attempts before did is not
      # undone where the task fails afterwards and is undone: take it back first, or have the handler do so.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol] its name
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the task was cancelled, or the step could not start because of what its parents did
      #   or of what is used up of the task's budget
      # @raise [InvalidArgument] the task has no such step
      # @example
      #   client.rerun(1, "enrich", actor: "support", reason: "its data were corrected")
      def rerun(task_id, step, actor: nil, reason: nil)
        step = Internal::Check.text(step, "step")
        steer(task_id, actor, reason) { |id, *request| native.rerun(id, step, *request) }
      end

      # Has a step of many tasks executed anew, and every step below it. Unlike other requests it means a task again
      # when it is repeated, if the step has ended meanwhile.
      #
      # @param step [String, Symbol] its name
      # @param name [String] of the template
      # @param options [Hash{Symbol => Object}] actor, reason, rate, dry_run, as for {BulkSteering}; and which tasks,
      #   all of which may be left out: state, namespace and version [String]; tags [Array<String>], all of which they
      #   have; older_than [Numeric], seconds since they were requested
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport] cancelled tasks count as gone on
      # @raise [InvalidArgument]
      # @example
      #   client.rerun_all("enrich", name: "order_fulfilment", version: "1.2.0", reason: "a fault in enrich").done
      def rerun_all(step, name:, **options, &progress)
        step = Internal::Check.text(step, "step")
        options = options.merge(name: Internal::Check.text(name, "name"))
        how = { filters: BulkSteering::ALL_TASKS, rehearsed: true }
        with_tasks("rerun", options, progress, **how) do |target, request, client|
          client.rerun(target.task_id, step, **request)
        end
      end
    end
  end
end
