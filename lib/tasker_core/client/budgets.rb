# frozen_string_literal: true

require "json"
require_relative "bulk_steering"

module TaskerCore
  class Client
    # What operators do about the budgets of tasks. See docs/budgets.md.
    module Budgets
      # States of tasks to which a higher budget means something.
      OPEN_TO_MORE = [*BulkSteering::OPEN_STATES, "error"].freeze
      # These tasks. One that ends meanwhile is found by the second.
      ALL_OPEN_TO_MORE = [{ unfinished: true }, { state: "error", unfinished: false }].freeze

      # Raises the budget of a task: the steps that it kept from being started are tried again, and a task that ended in
      # error goes on. What was used up so far counts. A task that is complete stays so: its steps can be executed anew.
      #
      # @param task_id [Integer]
      # @param attempts [Integer, nil] of all steps together, no fewer than before. Default nil: as before.
      # @param cost [Numeric, nil] no less than before: 0, or from 0.000001. Default nil: as before.
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param reason [String, nil] why, for the record
      # @param unknown [Hash{Symbol => Object}] none
      # @return [TaskStatus]
      # @raise [NotFound]
      # @raise [InvalidTransition] the task was cancelled
      # @raise [InvalidArgument] neither `attempts` nor `cost`, fewer or less than before, or the task has no budget
      # @example
      #   client.raise_budget(1, attempts: 400, actor: "support", reason: "the bank was down")
      def raise_budget(task_id, attempts: nil, cost: nil, actor: nil, reason: nil, **unknown) # rubocop:disable Metrics/ParameterLists -- what, and who asks why
        Internal::Check.keywords(unknown, [], %i[attempts cost actor reason])
        limits = JSON.generate(Internal::Check.budget({ attempts: attempts, cost: cost }.compact))
        steer(task_id, actor, reason) { |id, *request| native.raise_budget(id, limits, *request) }
      end

      # Raises the budgets of tasks that have not ended or are in error. Those that have none are refused; what is
      # undone is not meant.
      #
      # @param name [String] of the template
      # @param attempts [Integer, nil] as for {#raise_budget}. Default nil.
      # @param cost [Numeric, nil] as for {#raise_budget}. Default nil.
      # @param options [Hash{Symbol => Object}] as for {BulkSteering#cancel_all}; state: error, or one of a task that
      #   has not ended. Default: all of these.
      # @yieldparam so_far [BulkReport]
      # @return [BulkReport]
      # @raise [InvalidArgument]
      # @example
      #   client.raise_budget_all(name: "research", attempts: 400, state: "error", reason: "the bank was down").done
      def raise_budget_all(name:, attempts: nil, cost: nil, **options, &progress)
        limits = { attempts: attempts, cost: cost }.compact
        Internal::Check.budget(limits)
        state = options.delete(:state)
        filters = state ? filters_of(OPEN_TO_MORE, state) : ALL_OPEN_TO_MORE
        options = options.merge(name: Internal::Check.text(name, "name"))
        standing = ->(status) { status.state != "error" || !undone?(status) }
        how = { filters: filters, only: standing, rehearsed: true }
        with_tasks("raise the budget of", options, progress, **how) do |target, request, client|
          client.raise_budget(target.task_id, **limits, **request)
        end
      end
    end
  end
end
