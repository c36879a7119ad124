# frozen_string_literal: true

require_relative "../internal/bulk"
require_relative "../internal/failure_filter"
require_relative "bulk_targets"

module TaskerCore
  class Client
    # What operators ask of many tasks at once. Each task or step is asked by itself, in a transaction of its own: one
    # that refuses does not stop the others, and what was done stays done. What a request was done with is not meant by
    # it again, or nothing changes for it, so that it can be repeated; {Rerun#rerun_all} does it again. Steps are asked
    # as they were found: one that has changed since, also if it has failed again, is left alone and counts as gone on.
    #
    # All methods take
    #
    # * `actor` and `reason`, as {Steering#cancel};
    # * `rate` [Numeric, nil]: how many a second at most. Default nil: as fast as they can be;
    # * `dry_run` [Boolean]: change nothing and count. Where a step or a task may refuse although it is listed (skip,
    #   resolve, rerun, fork, budget), each is asked, and what that does is taken back. Default false;
    #
    # yield the {BulkReport} so far now and then, return it at the end, and raise {InvalidArgument} before anything is
    # done, or {DatabaseUnavailable}, {SchemaMismatch} and {ConfigurationError} in between.
    module BulkSteering
      include BulkTargets

      # Those that have not ended; all.
      UNFINISHED = [{ unfinished: true }].freeze
      ALL_TASKS = [{ unfinished: false }].freeze
      # States of tasks that have not ended.
      OPEN_STATES = %w[pending in_progress waiting blocked paused].freeze
      # States of tasks that can be undone.
      FAILED = %w[error cancelled].freeze

      # Leaves steps out that are in error or blocked. Those that their templates do not declare skippable are refused.
      #
      # @param options [Hash{Symbol => Object}] actor, reason, rate, dry_run; which steps: as {Failures#failures}
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @raise [DecryptionError] as {Failures#failures}
      # @example
      #   client.skip_all(name: "order_fulfilment", step: "send_coupon", reason: "the campaign is over").done
      def skip_all(**options, &progress)
        with_failures("skip", options, progress, rehearsed: true) do |bulk, filter, request, client|
          bulk.run(targets_after(nil, filter, bulk.batch)) do |target|
            client.leave_out(target.task_id, target.step, seen: target.seen, **request)
          end
        end
      end

      # Gives the same results to steps that are in error or blocked: they count as complete for the steps that depend
      # on them.
      #
      # @param name [String] of the template
      # @param step [String, Symbol] its name
      # @param results [Object] as for {Steering#resolve}. Default nil.
      # @param take [Array<String, Symbol>, nil] as for {Steering#resolve}. Default nil.
      # @param options [Hash{Symbol => Object}] actor, reason, rate, dry_run; which of them: as {Failures#failures}
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @raise [DecryptionError] as {Failures#failures}
      # @example
      #   client.resolve_all(name: "order_fulfilment", step: "notify", results: { sent: false }, reason: "by post").done
      def resolve_all(name:, step:, results: nil, take: nil, **options, &progress)
        options = options.merge(name: Internal::Check.text(name, "name"), step: Internal::Check.text(step, "step"))
        given = given(results, take)
        with_failures("resolve", options, progress, rehearsed: true) do |bulk, filter, request, client|
          bulk.run(targets_after(nil, filter, bulk.batch)) do |target|
            client.give(target.task_id, target.step, given, seen: target.seen, **request)
          end
        end
      end

      # Ends tasks that have not ended.
      #
      # @param options [Hash{Symbol => Object}] actor, reason, rate, dry_run; and which tasks, all of which may be left
      #   out: state (of a task that has not ended), name, namespace and version [String]; tags [Array<String>], all of
      #   which they have; older_than [Numeric], seconds since they were requested
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @raise [InvalidArgument]
      # @example
      #   client.cancel_all(name: "reindex", reason: "the index is gone").done
      def cancel_all(**options, &progress)
        with_tasks("cancel", options, progress) { |target, request| cancel(target.task_id, **request) }
      end

      # Keeps the steps of tasks from being started. Tasks that are paused already are not meant.
      #
      # @param options [Hash{Symbol => Object}] as for {#cancel_all}
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @example
      #   client.pause_all(namespace: "billing", reason: "the bank is down").done
      def pause_all(**options, &progress)
        unpaused = ->(status) { status.state != "paused" }
        with_tasks("pause", options, progress, only: unpaused) { |target, request| pause(target.task_id, **request) }
      end

      # Lets paused tasks go on.
      #
      # @param options [Hash{Symbol => Object}] as for {#cancel_all}, without `state`
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @example
      #   client.resume_all(namespace: "billing", reason: "the bank is back").done
      def resume_all(**options, &progress)
        Internal::Check.refuse("state", options[:state], "none: paused tasks are meant") if options[:state]
        with_tasks("resume", options.merge(state: "paused"), progress) do |target, request|
          resume(target.task_id, **request)
        end
      end

      # Undoes what tasks did that ended in error or were cancelled. Those that are undone already are not meant.
      #
      # @param name [String] of the template
      # @param options [Hash{Symbol => Object}] as for {#cancel_all}; state: error or cancelled. Default: both.
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @example
      #   client.compensate_all(name: "trip", older_than: 3_600, reason: "the airline is bankrupt").done
      def compensate_all(name:, **options, &progress)
        filters = filters_of(FAILED, options.delete(:state))
        options = options.merge(name: Internal::Check.text(name, "name"))
        standing = ->(status) { !undone?(status) }
        with_tasks("compensate", options, progress, filters: filters, only: standing) do |target, request|
          compensate(target.task_id, **request)
        end
      end

      # Cancels tasks that have not ended and were requested long ago. Their history says that they expired.
      #
      # @param older_than [Numeric] seconds since they were requested; needed
      # @param options [Hash{Symbol => Object}] as for {#cancel_all}
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @example
      #   client.expire(older_than: 7 * 86_400, name: "order_fulfilment").done
      def expire(older_than: nil, **options, &progress)
        seconds = Internal::Check.age(older_than, "older_than")
        reason = "expired: requested more than #{seconds} s before"
        reason = "#{reason}: #{options[:reason]}" if options[:reason]
        cancel_all(**options, older_than: seconds, reason: reason, &progress)
      end

      private

      # `others`: what the method takes besides.
      def with_failures(action, options, progress, rehearsed: false, others: [])
        bulk, request, rest = bulk_of(action, options, progress, rehearsed)
        Internal::Check.keywords(rest, Internal::FailureFilter::KEYS, OF_REQUESTS + others)
        filter = Internal::FailureFilter.new(**rest)
        asking(rehearsed && options[:dry_run]) { |client| yield bulk, filter, request, client }
        bulk.report
      end

      # Tasks that one filter after another means, each once.
      def with_tasks(action, options, progress, filters: UNFINISHED, only: nil, rehearsed: false) # rubocop:disable Metrics/ParameterLists -- what, with which, and how
        bulk, request, rest = bulk_of(action, options, progress, rehearsed)
        Internal::Check.choice(rest[:state], "state", OPEN_STATES) if filters.equal?(UNFINISHED)
        meant = filters.map { |filter| tasks(bulk.batch, only, filter, **rest) }.lazy.flat_map(&:lazy)
        asking(rehearsed && options[:dry_run]) do |client|
          bulk.run(meant.uniq(&:task_id)) { |target| yield target, request, client }
        end
        bulk.report
      end

      # Yields the client that is asked: in a rehearsal one that takes back whatever it does.
      def asking(rehearsal)
        return yield self unless rehearsal

        client = Client.new(connection: @connection.for_dry_runs)
        begin
          yield client
        ensure
          client.close
        end
      end

      # The rest is what is meant.
      def bulk_of(action, options, progress, rehearsed)
        options = options.dup
        rate, dry_run, actor, reason = OF_REQUESTS.map { |key| options.delete(key) }
        rate &&= Internal::Check.rate(rate, "rate")
        request = { actor: Internal::Check.optional_text(actor, "actor"),
                    reason: Internal::Check.optional_text(reason, "reason") }
        how = { rate: rate, dry_run: Internal::Check.flag(dry_run, "dry_run"), rehearsed: rehearsed }
        [Internal::Bulk.new(action, **how, &progress), request, options]
      end
    end
  end
end
