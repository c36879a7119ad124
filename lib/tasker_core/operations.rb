# frozen_string_literal: true

require_relative "client"

# What operators ask of many tasks at once, with the client of the configuration.
module TaskerCore
  class << self
    # Steps that are in error or blocked and hold their task up. See {Client#failures}.
    #
    # @return [Array<StepFailure>]
    # @example
    #   TaskerCore.failures(name: "order_fulfilment", since: Time.now - 7_200).map(&:message)
    def failures(**filter)
      client.failures(**filter)
    end

    # The same, counted by what they have in common. See {Client#failure_groups}.
    #
    # @return [Array<Hash{String => Object}>]
    # @example
    #   TaskerCore.failure_groups.first["count"] # => 1204
    def failure_groups(**filter)
      client.failure_groups(**filter)
    end

    # Has steps of many tasks tried again that are in error or blocked. See {Client#retry_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.retry_all(error: "Net::ReadTimeout", reason: "the bank is back", canary: 5, rate: 20)
    def retry_all(**options, &progress)
      client.retry_all(**options, &progress)
    end

    # Leaves steps of many tasks out that are in error or blocked. See {Client#skip_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.skip_all(step: "send_coupon", reason: "the campaign is over")
    def skip_all(**options, &progress)
      client.skip_all(**options, &progress)
    end

    # Has a step of many tasks executed anew, and every step below it. See {Client#rerun_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.rerun_all("enrich", name: "order_fulfilment", version: "1.2.0", reason: "a fault in enrich")
    def rerun_all(step, name:, **options, &progress)
      client.rerun_all(step, name: name, **options, &progress)
    end

    # Gives the same results to steps of many tasks that are in error or blocked. See {Client#resolve_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.resolve_all(name: "order_fulfilment", step: "notify", results: { sent: false }, reason: "by post")
    def resolve_all(name:, step:, **options, &progress)
      client.resolve_all(name: name, step: step, **options, &progress)
    end

    # Makes forks of many tasks. See {Client#fork_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.fork_all(name: "quote", from: "price", context: { rate: 7 }, idempotency_key: "rate-7")
    def fork_all(name:, from:, idempotency_key:, **options, &progress)
      client.fork_all(name: name, from: from, idempotency_key: idempotency_key, **options, &progress)
    end

    # Undoes what many tasks did that failed or were cancelled. See {Client#compensate_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.compensate_all(name: "trip", reason: "the airline is bankrupt")
    def compensate_all(name:, **options, &progress)
      client.compensate_all(name: name, **options, &progress)
    end

    # Raises the budgets of many tasks. See {Client#raise_budget_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.raise_budget_all(name: "research", attempts: 400, reason: "the bank was down")
    def raise_budget_all(name:, **options, &progress)
      client.raise_budget_all(name: name, **options, &progress)
    end

    # Ends many tasks. See {Client#cancel_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.cancel_all(name: "reindex", reason: "the index is gone")
    def cancel_all(**options, &progress)
      client.cancel_all(**options, &progress)
    end

    # Keeps the steps of many tasks from being started. See {Client#pause_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.pause_all(namespace: "billing", reason: "the bank is down")
    def pause_all(**options, &progress)
      client.pause_all(**options, &progress)
    end

    # Lets many paused tasks go on. See {Client#resume_all}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.resume_all(namespace: "billing", reason: "the bank is back")
    def resume_all(**options, &progress)
      client.resume_all(**options, &progress)
    end

    # Cancels tasks that were requested long ago and have not ended. See {Client#expire}.
    #
    # @return [BulkReport]
    # @example
    #   TaskerCore.expire(older_than: 7 * 86_400).done # => 12
    def expire(older_than: nil, **options, &progress)
      client.expire(older_than: older_than, **options, &progress)
    end
  end
end
