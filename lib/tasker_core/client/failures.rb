# frozen_string_literal: true

require_relative "../internal/failure_filter"
require_relative "../internal/failure_groups"
require_relative "../step_failure"

module TaskerCore
  class Client
    # What failed and waits for somebody.
    module Failures
      # Failures that are read at once at most.
      PAGE = 1_000

      # Steps that are in error or blocked and hold their task up, those of the newest tasks first. Steps of tasks that
      # have completed all the same, or were cancelled, are not among them; nor are steps that were skipped or resolved.
      #
      # @param limit [Integer] most failures, up to 1,000. Default 20.
      # @param before [Integer, nil] what comes after the failure with this {StepFailure#step_id}: the next page
      # @param filter [Hash{Symbol => Object}] may all be left out.
      #   namespace, name, version [String] of the template;
      #   step [String] its name;
      #   state [String] error or blocked;
      #   error [String, Class] class of the exception;
      #   message [String] text that the exception's message contains;
      #   since, until [Time] when the step came into its state: then or later, and before;
      #   tags [Array<String>] that the task has all of;
      #   task_id [Integer]
      # @return [Array<StepFailure>]
      # @raise [InvalidArgument]
      # @raise [DecryptionError] class or message are asked for, and a failure is encrypted with a key that is not
      #   configured here
      # @example
      #   client.failures(name: "order_fulfilment", error: "Net::ReadTimeout", since: Time.now - 7_200)
      def failures(limit: 20, before: nil, **filter)
        limit = Internal::Check.whole(limit, "limit", 1..PAGE)
        before &&= Internal::Check.id(before, "before")
        failures_after(before, Internal::FailureFilter.new(**filter), limit).first(limit)
      end

      # All failures that {#failures} would list, counted by what they have in common. Items of a map step, and steps
      # that were added, count as the step of the template that executes them.
      #
      # @param filter [Hash{Symbol => Object}] as for {#failures}
      # @return [Array<Hash{String => Object}>] the largest group first: namespace, name, version, step, state, error,
      #   count, first_at, last_at (Time), message and task_id (of the last one); frozen
      # @raise [Error] as {#failures}
      # @example
      #   client.failure_groups(since: Time.now - 3_600).first["count"] # => 1204
      def failure_groups(**filter)
        Internal::FailureGroups.of(failures_after(nil, Internal::FailureFilter.new(**filter), PAGE))
      end

      private

      # They are read as they are used, a page at a time.
      def failures_after(before, filter, page_size)
        Enumerator.new do |failures|
          loop do
            page = parse(native.failures(filter.json(limit: page_size, before: before)))
            page.fetch("failures").each { |failure| failures << StepFailure.new(failure) }
            break unless (before = page.fetch("next"))
          end
        end
      end
    end
  end
end
