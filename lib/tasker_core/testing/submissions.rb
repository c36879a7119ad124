# frozen_string_literal: true

require "json"
require_relative "../client"
require_relative "../internal/global_ids"
require_relative "../internal/json_text"

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
        def keep(task_ids, name, contexts, options)
          kept = task_ids.zip(contexts).map do |task_id, context|
            written = Internal::GlobalIds.written(context, Internal::JsonText::MAX_DEPTH)
            context = JSON.parse(JSON.generate(written, max_nesting: 0), freeze: true, max_nesting: false)
            Submitted.new(task_id: task_id, name: name.to_s, context: context, options: options.freeze).freeze
          end
          @lock.synchronize { @all.concat(kept) }
        end
      end

      # In front of the methods of {Client} that submit. One that finds the task there already has submitted none.
      module Kept
        # As {Client#submit}.
        #
        # @api private
        def submit(name, context: {}, **options, &existing)
          found = false
          task_id = super(name, context: context, **options) { |*told| (found = true) && existing&.call(*told) }
          Submissions.keep([task_id], name, [context], options) unless found
          task_id
        end

        # As {Client#submit_all}.
        #
        # @api private
        def submit_all(name, contexts:, **options)
          super.tap { |task_ids| Submissions.keep(task_ids, name, contexts.to_a, options) }
        end
      end

      Client.prepend(Kept)
    end
  end
end
