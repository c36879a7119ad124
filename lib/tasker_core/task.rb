# frozen_string_literal: true

require "json"
require_relative "internal/current_attributes"
require_relative "internal/global_ids"

module TaskerCore
  # The task that a handler works for.
  #
  # @example
  #   def process(task, sequence, step)
  #     Order.find(task.context["order_id"])
  #   end
  class Task
    # @return [Integer]
    attr_reader :task_id

    # @api private
    # @param task_id [Integer]
    # @param template [TaskTemplate, Internal::TemplateSteps] what answers name, namespace and version
    # @param context_json [String, Internal::Bridge::LargeText] a JSON object
    def initialize(task_id, template, context_json)
      @task_id = task_id
      @template = template
      @context_json = context_json
      @context = @plain_context = @said = nil
    end

    # What the task was submitted with, records as they are now. Read from its JSON, and the records from the database,
    # on the first call.
    #
    # @return [Hash{String => Object}] frozen, also inside, but for the records
    # @raise [PermanentError] a record is gone; code RECORD_NOT_FOUND
    # @raise [BlockedError] this process does not have the class of a record
    # @example
    #   task.context["order_id"] # => 42
    def context
      @context ||= with_records(plain_context, "context")
    end

    # @api private
    # @return [Hash{String => Object}] the same with what stands in JSON for records; frozen
    def plain_context
      key = Internal::CurrentAttributes::KEY
      @plain_context ||= said.key?(key) ? said.except(key).freeze : said
    end

    # @api private
    # @param names [Array<String>] of classes
    # @return [Hash{String => Hash}] what they held where the task was submitted, see {Internal::CurrentAttributes}
    def current_attributes(names)
      with_records(said.fetch(Internal::CurrentAttributes::KEY, {}).slice(*names), Internal::CurrentAttributes::SETTING)
    end

    # A copy, where it is large: for those that read it.
    #
    # @api private
    # @return [String] a JSON object
    def context_json
      @context_json.to_str
    end

    # @return [String] name of the template
    def name
      @template.name
    end

    # @return [String] namespace of the template
    def namespace
      @template.namespace
    end

    # @return [String] version of the template
    def version
      @template.version
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{task_id} #{namespace}/#{name} #{version}>"
    end

    private

    def said
      @said ||= begin
        json = context_json
        @holds_records = Internal::GlobalIds.in?(json)
        JSON.parse(json, freeze: true, max_nesting: false)
      end
    end

    def with_records(value, what)
      @holds_records ? Internal::GlobalIds.with_records(value, what) : value
    end
  end
end
