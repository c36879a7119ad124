# frozen_string_literal: true

require "json"
require_relative "../internal/check"
require_relative "../internal/json_text"

module TaskerCore
  class Client
    # Tasks that take over what other tasks have done.
    module Forks
      # Longest key of many forks: with "-" and any task's id it is none too long for one.
      KEY_BYTES = 256 - 20

      # Makes a task of the same version of its template that takes over what a task has done, but for some steps and
      # those below them, which are executed. Steps elsewhere that are complete, resolved or skipped are so in the fork,
      # with their results; all others are executed. The task that is forked stays as it is.
      #
      # @param task_id [Integer]
      # @param from [String, Symbol, Array] the steps that are executed, with all below them
      # @param context [Hash] keys that get another value than in the task's context, or are added to it. Default {}.
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @param idempotency_key [String, nil] as of {Client#submit}: the fork is made once. Default nil.
      # @return [Integer] the fork's id
      # @raise [NotFound]
      # @raise [InvalidArgument] the task has no such step, or its parents leave it out
      # @raise [InvalidContext] the context does not fit the template's schema
      # @raise [DecryptionError]
      # @example
      #   client.fork(1, from: "price", context: { rate: 7 }, reason: "what if the rate were 7?") # => 42
      def fork(task_id, from:, context: {}, actor: nil, reason: nil, idempotency_key: nil) # rubocop:disable Metrics/ParameterLists -- what, and who asks why
        request = { actor: actor, reason: reason, idempotency_key: idempotency_key }
        forked(task_id, from: from, context: context, **request).fetch("task_ids").first
      end

      # Forks tasks, those that have ended among them. Tasks that are forks themselves are not meant.
      #
      # @param name [String] of the template
      # @param from [String, Symbol, Array] as for {#fork}
      # @param idempotency_key [String] 1 to 236 bytes: each fork is known by this, "-" and the id of the task that is
      #   forked, so that a request that is repeated makes no second fork of a task
      # @param context [Hash] as for {#fork}. Default {}.
      # @param options [Hash{Symbol => Object}] as for {BulkSteering#cancel_all}
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport] tasks that have such a fork already count as gone on
      # @raise [InvalidArgument]
      # @example
      #   client.fork_all(name: "quote", from: "price", context: { rate: 7 }, idempotency_key: "rate-7").done
      def fork_all(name:, from:, idempotency_key:, context: {}, **options, &progress)
        key = Internal::Check.text(idempotency_key, "idempotency_key")
        allowed = 1..KEY_BYTES
        Internal::Check.refuse("idempotency_key", key, "1 to #{KEY_BYTES} bytes") unless allowed.cover?(key.bytesize)
        names_of(from)
        check_context(context)
        options = options.merge(name: Internal::Check.text(name, "name"))
        meant = { filters: BulkSteering::ALL_TASKS, only: ->(status) { status.forked_from.nil? } }
        with_tasks("fork", options, progress, rehearsed: true, **meant) do |target, request, client|
          own = { from: from, context: context, idempotency_key: "#{key}-#{target.task_id}" }
          !client.forked(target.task_id, **own, **request).fetch("existing")
        end
      end

      protected

      # Its id in a list, and whether it was there.
      def forked(task_id, from:, context:, actor:, reason:, idempotency_key:) # rubocop:disable Metrics/ParameterLists -- what, and who asks why
        id = Internal::Check.id(task_id)
        check_context(context)
        fork = { "from" => names_of(from),
                 "actor" => Internal::Check.optional_text(actor, "actor") || this_process,
                 "reason" => Internal::Check.optional_text(reason, "reason"),
                 "idempotency_key" => Internal::Check.optional_text(idempotency_key, "idempotency_key") }
        json = Internal::JsonText.new(records: true).generate(context, what: "context")
        parse(native.fork(id, "#{JSON.generate(fork).delete_suffix("}")},\"context\":#{json}}"))
      end

      private

      def names_of(from)
        Internal::Check.refuse("from", from, "the name of a step, or several") if [*from].empty?
        [*from].map { |step| Internal::Check.text(step, "from") }
      end

      def check_context(context)
        Internal::Check.refuse("context", context, "a Hash") unless context.is_a?(Hash)
      end
    end
  end
end
