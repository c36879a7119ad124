# frozen_string_literal: true

require "json"

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
      @context = nil
    end

    # What the task was submitted with. Read from its JSON on the first call.
    #
    # @return [Hash{String => Object}] frozen, also inside
    # @example
    #   task.context["order_id"] # => 42
    def context
      @context ||= JSON.parse(context_json, freeze: true, max_nesting: false)
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
  end
end
