# frozen_string_literal: true

require "etc"

module TaskerCore
  class Client
    # What operators ask of a task. Who asked and why is kept in its history.
    module Steering
      # Ends a task: no further step of it starts; attempts that are running come to nothing.
      #
      # @param task_id [Integer]
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the task is over already
      # @raise [InvalidArgument]
      # @example
      #   client.cancel(1, actor: "support", reason: "customer withdrew")
      def cancel(task_id, actor: nil, reason: nil)
        steer(task_id, actor, reason) { |id, *request| native.cancel(id, *request) }
      end

      # Keeps the steps of a task from being started; those that run go on to their end. A task that is paused already
      # stays so.
      #
      # @param task_id [Integer]
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the task is over
      # @raise [InvalidArgument]
      # @example
      #   client.pause(1, actor: "support", reason: "the bank is down")
      def pause(task_id, actor: nil, reason: nil)
        steer(task_id, actor, reason) { |id, *request| native.pause(id, *request) }
      end

      # Lets a task go on that was paused. One that was not stays as it is.
      #
      # @param task_id [Integer]
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the task is over
      # @raise [InvalidArgument]
      # @example
      #   client.resume(1, actor: "support", reason: "the bank is back")
      def resume(task_id, actor: nil, reason: nil)
        steer(task_id, actor, reason) { |id, *request| native.resume(id, *request) }
      end

      # Has the steps of a task tried again at once that failed, also those whose next attempt is due later, or are
      # blocked, each with all the attempts before it that its policy allows; those that it had are kept. One that waits
      # for a time or a signal is when it is named. A task that ended in error goes on. Steps that are enqueued or run
      # stay as they are, so that a second call changes nothing until they have failed again. {DatabaseUnavailable} says
      # that a call whose answer was lost may have taken place.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol, nil] name of the one to try again. Default nil: all of them.
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the task is complete or cancelled, or the step is pending, delayed (says until when)
      #   or has ended otherwise than in error
      # @raise [InvalidArgument] the task has no such step
      # @example
      #   client.retry(1, step: "charge_card", actor: "support", reason: "the bank is back")
      def retry(task_id, step: nil, actor: nil, reason: nil)
        step = Internal::Check.optional_text(step, "step")
        try_again(task_id, step, actor: actor, reason: reason)
      end

      # Undoes what the complete steps of a task did that ended in error or was cancelled, as their `compensate_with`
      # says: another task does that. Once; a task that is undone cannot go on. Needed for templates with
      # `compensation: manual`; others do it by themselves.
      #
      # @param task_id [Integer]
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus] of the task; its `compensated_by` says which one undoes it
      # @raise [NotFound]
      # @raise [InvalidTransition] the task has not failed
      # @raise [InvalidArgument] its template does not say how steps are undone
      # @example
      #   client.compensate(1, actor: "support").compensated_by # => 7
      def compensate(task_id, actor: nil, reason: nil)
        steer(task_id, actor, reason) { |id, *request| native.compensate(id, *request) }
      end

      # Leaves a skippable step out that has not completed: it counts as done for the steps that depend on it, which are
      # skipped as well where their join policies need it to be complete. An attempt that is running comes to nothing. A
      # task that ended in error goes on. A step that is skipped already stays so.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol] its name
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the step is complete, or the task is complete or cancelled
      # @raise [InvalidArgument] the task has no such step, or its template does not declare it `skippable`
      # @example
      #   client.skip(1, "send_coupon", actor: "support", reason: "the campaign is over")
      def skip(task_id, step, actor: nil, reason: nil)
        leave_out(task_id, Internal::Check.text(step, "step"), actor: actor, reason: reason)
      end

      # Gives the results of a step that has not completed: it counts as complete for the steps that depend on it. An
      # attempt that is running comes to nothing. A task that ended in error goes on. A step that was resolved already
      # keeps its results: the same ones again change nothing, others are refused.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol] its name
      # @param results [Object] what JSON can say, at most 1 MiB of it. Default nil.
      # @param take [Array<String, Symbol>, nil] names of the branches that are taken; needed for a decision step, where
      #   [] takes none. Default nil: the step does not decide.
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the step is complete, or was resolved with other results, or the task is complete or
      #   cancelled
      # @raise [InvalidArgument] the task has no such step, the results are not JSON or too large, or `take` is missing
      #   for a step that decides, given for another one, or names no branch of it
      # @example
      #   client.resolve(1, "charge_card", results: { payment_id: "p-7" }, reason: "paid at the counter")
      def resolve(task_id, step, results: nil, take: nil, actor: nil, reason: nil) # rubocop:disable Metrics/ParameterLists -- what, and who asks why
        step = Internal::Check.text(step, "step")
        give(task_id, step, given(results, take), actor: actor, reason: reason)
      end

      protected

      # `seen` is as what the step was seen, JSON: nothing is done if it has changed since.
      def try_again(task_id, step, actor:, reason:, seen: nil)
        steer(task_id, actor, reason) { |id, *request| native.retry(id, step, *request, seen) }
      end

      def leave_out(task_id, step, actor:, reason:, seen: nil)
        steer(task_id, actor, reason) { |id, *request| native.skip(id, step, *request, seen) }
      end

      def give(task_id, step, given, actor:, reason:, seen: nil) # rubocop:disable Metrics/ParameterLists -- what, and who asks why
        steer(task_id, actor, reason) { |id, *request| native.resolve(id, step, *given, *request, seen) }
      end

      private

      # Yields the task's id, who asks, and why.
      def steer(task_id, actor, reason)
        id = Internal::Check.id(task_id)
        actor = Internal::Check.optional_text(actor, "actor") || this_process
        reason = Internal::Check.optional_text(reason, "reason")
        TaskStatus.new(parse(yield(id, actor, reason)))
      end

      # What a step is given, as JSON.
      def given(results, take)
        [json_of(results), take && JSON.generate([*take].map { |name| Internal::Check.text(name, "take") })]
      end

      def this_process
        "process #{Process.pid} on #{Etc.uname.fetch(:nodename)}"
      end

      def json_of(results)
        Internal::JsonText.new(symbols: true, records: true).generate(results, what: "results")
      rescue InvalidContext => e
        raise InvalidArgument.new(e.message, details: e.details)
      end
    end
  end
end
