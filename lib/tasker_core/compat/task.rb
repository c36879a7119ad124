# frozen_string_literal: true

module Tasker
  # What {TaskHandler#initialize_task!} returns: a task, or why there is none.
  #
  # @example
  #   task = handler.initialize_task!(request)
  #   task.persisted? ? task.task_id : task.errors.full_messages
  class Task
    # Why there is no task, by the part of the request.
    class Errors
      # @param messages [Hash{Symbol => Array<String>}]
      def initialize(messages)
        @messages = messages
        freeze
      end

      # @param part [Symbol]
      # @return [Array<String>]
      def [](part)
        @messages.fetch(part, [])
      end

      # @return [Boolean]
      def any?
        !empty?
      end

      # @return [Boolean]
      def empty?
        @messages.empty?
      end

      # @return [Array<String>]
      def full_messages
        @messages.values.flatten
      end

      # @return [Hash{Symbol => Array<String>}]
      def to_h
        @messages
      end
    end

    # @return [Integer, nil] nil: there is none
    attr_reader :task_id
    # @return [Types::TaskRequest]
    attr_reader :request
    # @return [Errors]
    attr_reader :errors

    alias id task_id

    # @param task_id [Integer, nil]
    # @param request [Types::TaskRequest]
    # @param errors [Hash{Symbol => Array<String>}]
    def initialize(task_id, request, errors = {})
      @task_id = task_id
      @request = request
      @errors = Errors.new(errors)
      freeze
    end

    # @return [String]
    def name
      request.name
    end

    # @return [Hash] as it was given
    def context
      request.context
    end

    # @return [Boolean] whether there is a task
    def persisted?
      !task_id.nil?
    end

    # @return [Boolean] whether there is a task
    def valid?
      persisted?
    end

    # @return [String] its state as the database has it; "pending" where there is no task
    def status
      persisted? ? TaskerCore.status(task_id).state : "pending"
    end

    # @return [Boolean] whether it is complete
    def complete
      status == "complete"
    end

    # @return [Task] the same: nothing of it is kept
    def reload
      self
    end
  end
end
