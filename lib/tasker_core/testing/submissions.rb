# frozen_string_literal: true

require "json"
require_relative "../client"

module TaskerCore
  module Testing
    # A task that was submitted, as {Testing.submitted} tells it.
    #
    # @!attribute [r] task_id
    #   @return [Integer]
    # @!attribute [r] name
    #   @return [String] of the template
    # @!attribute [r] context
    #   @return [Hash{String => Object}] as JSON has it, records by their global ids; frozen
    # @!attribute [r] options
    #   @return [Hash{Symbol => Object}] of the submit
    Submitted = Struct.new(:task_id, :name, :context, :options, keyword_init: true)

    # Keeps what is submitted in this process.
    module Submissions
      @all = []
      @lock = Mutex.new

      class << self
        # @return [Array<Submitted>]
        def all
          @lock.synchronize { @all.dup.freeze }
        end

        # @return [void]
        def clear
          @lock.synchronize { @all.clear }
        end

        # @api private
        # @param task_ids [Array<Integer>]
        # @param submission [Internal::Submission]
        def keep(task_ids, submission)
          kept = task_ids.zip(submission.contexts).map do |task_id, context|
            Submitted.new(task_id: task_id, name: submission.name, options: submission.options.freeze,
                          context: JSON.parse(context, freeze: true, max_nesting: false)).freeze
          end
          @lock.synchronize { @all.concat(kept) }
        end
      end

      # In front of the method of {Client} that submits. One that finds the task there already has submitted none.
      module Kept
        private

        def request(submission, connection)
          super.tap do |submitted|
            Submissions.keep(submitted.fetch("task_ids"), submission) unless submitted.fetch("existing")
          end
        end
      end

      Client.prepend(Kept)
    end
  end
end
