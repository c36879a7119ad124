# frozen_string_literal: true

require_relative "errors"
require_relative "handler_registry"
require_relative "internal/error_classes"
require_relative "internal/suggestion"
require_relative "task_template"

module TaskerCore
  # What the block of {TaskerCore.define} can say. Collects the definition in the form of a YAML file; defaults and
  # checks are the same as there.
  #
  # @example
  #   TaskerCore.define("order_fulfilment", namespace: "shop", version: "1.0.0") do
  #     step "validate_order", handler: ValidateOrder
  #     step "charge_card", handler: ChargeCard, depends_on: "validate_order", retry_limit: 5
  #   end
  class TemplateDSL
    # Options of the template => key in the definition.
    TEMPLATE_KEYS = { namespace: "namespace_name", version: "version", description: "description",
                      schema: "schema", queue: "queue", priority: "priority", deadline: "deadline_seconds",
                      compensation: "compensation", budget: "budget",
                      error_classes: "error_classes" }.freeze
    # Options of a step => key in the definition.
    STEP_KEYS = {
      handler: "handler_class", depends_on: "depends_on_steps", join: "join", when: "when",
      decides: "decides", dynamic: "dynamic", map: "map", description: "description", queue: "queue",
      retryable: "default_retryable", retry_limit: "default_retry_limit", retry: "retry", skippable: "skippable",
      timeout: "timeout_seconds", config: "handler_config", dependent_system: "dependent_system",
      delay: "delay_seconds", total_timeout: "total_timeout_seconds", crash_limit: "crash_limit",
      error_classes: "error_classes",
      workflow: "workflow", compensate_with: "compensate_with", compensate: "compensate",
      reserve_cost: "reserve_cost"
    }.freeze

    # Runs the block of a definition.
    #
    # @param name [String]
    # @param source [String] file and line, for messages
    # @param options [Hash{Symbol => Object}] keys of {TEMPLATE_KEYS}
    # @return [TaskTemplate]
    # @raise [InvalidTemplate]
    # @raise [HandlerNotFound] the block names a class that is not there, or whose file cannot be loaded
    # @example
    #   TemplateDSL.template("greeting", source: "app.rb:3") { step "greet", handler: "Greet" }
    def self.template(name, source:, **options, &block)
      dsl = new(name, source: source, **options)
      run(dsl, block) if block
      TaskTemplate.new(dsl.definition, source: source)
    rescue InvalidTemplate => e
      raise as_written(e)
    end

    # @api private
    def self.run(dsl, block)
      block.arity.zero? ? dsl.instance_exec(&block) : block.call(dsl)
    rescue NameError, ScriptError => e
      raise unless e.is_a?(ScriptError) || HandlerRegistry.class_name?(e.name.to_s)

      dsl.refuse_class(e)
    end

    # The same refusal, with the option in the place of the key that was made of it.
    #
    # @api private
    def self.as_written(error)
      key = error.details["key"].to_s
      option = option_of(key, error.details["step"])
      InvalidTemplate.new(error.message.sub(": #{key}", ": #{option}"), details: error.details.merge("key" => option))
    end

    # The step is named beside it.
    #
    # @api private
    def self.option_of(key, step)
      inner = step ? key.sub(/\Astep_templates\[\d+\]\./, "") : key
      word = inner[/\A\w+/]
      option = (step ? STEP_KEYS : TEMPLATE_KEYS).key(word)
      option ? inner.sub(word, option.name) : inner
    end
    private_class_method :run, :as_written, :option_of

    # @return [Hash{String => Object}] the definition so far, as in a YAML file
    attr_reader :definition

    # @param name [String] name of the template
    # @param source [String] file and line, for messages
    # @param options [Hash{Symbol => Object}] keys of {TEMPLATE_KEYS}; nil counts as not given
    # @raise [InvalidTemplate] an unknown option
    def initialize(name, source:, **options)
      @source = source
      @definition = { "name" => name, **translate(options, TEMPLATE_KEYS, "template"), "step_templates" => [] }
    end

    # Adds a step.
    #
    # @param name [String, Symbol]
    # @param options [Hash{Symbol => Object}] all but the handler, or the workflow, may be left out:
    #   handler (a class or its name), depends_on (a name, { step: name, when: an expression in
    #   CEL }, or an array of these), join ("all_complete", the default,
    #   "all_done", "any_complete", "none_failed" or { quorum: 2 }), description,
    #   when (an expression in CEL over `context` and `results`; the step is skipped where it is not met),
    #   decides (whether its handler says with `step.take` which of the steps that depend on it are taken, default
    #   false),
    #   dynamic (whether it is a prototype of steps that handlers add with `step.add`, default false),
    #   map (over: an expression in CEL whose value is a list, max_parallel:, tolerate:; the handler is executed for
    #   each item),
    #   retryable (default true), retry_limit (executions in all, default 3),
    #   retry (backoff: "exponential", "linear", "fixed", "fibonacci" or "list", base_seconds:, max_seconds:, jitter:,
    #   and for "list" delays_seconds: [1, 5, 30]),
    #   crash_limit (workers that may die while they execute it, default 3),
    #   error_classes (exception classes or their names => "retryable", "permanent" or "blocked"),
    #   timeout (seconds, default none), total_timeout (seconds for all attempts together, default none),
    #   delay (seconds from when it got ready, default none), reserve_cost (of its task's budget, default none), queue,
    #   config (what the handler reads as `step.config`), skippable, dependent_system,
    #   workflow (the template that the step runs: its name, or name:, namespace_name:, version:, context:, on_failure:,
    #   on_cancel:), compensate_with (the class that undoes it, or its name), compensate (the same with handler_class:,
    #   default_retryable:, default_retry_limit:, retry:, timeout_seconds:)
    # @return [void]
    # @raise [InvalidTemplate] an unknown option, or a class without a name
    # @example
    #   step "charge_card", handler: ChargeCard, depends_on: %w[validate_order], retry: { base_seconds: 0.5 }
    def step(name, **options)
      path = "step #{name.to_s.inspect}"
      keys = translate(options, STEP_KEYS, path)
      name_classes(keys, path)
      keys["depends_on_steps"] = parents(keys["depends_on_steps"]) if keys.key?("depends_on_steps")
      [keys["when"], *conditions(keys["depends_on_steps"])].each { |condition| check_condition(condition, path) }
      definition["step_templates"] << { "name" => name, **keys }
      nil
    end

    # @api private
    # @param error [NameError, ScriptError] by a class that the block names
    # @raise [HandlerNotFound] always
    def refuse_class(error)
      identity = { "namespace" => "default", **definition.slice("namespace_name", "name", "version") }
      identity["namespace"] = identity.delete("namespace_name") if identity.key?("namespace_name")
      raise HandlerNotFound.new("#{@source}: a handler class #{HandlerRegistry.unloadable(error)}",
                                details: { "file" => @source, **identity })
    end

    private

    # Names of steps, or hashes of step and when.
    def parents(given)
      given.is_a?(Hash) ? [given] : [*given]
    end

    # The `when` of edges.
    def conditions(parents)
      [*parents].grep(Hash).map { |edge| edge[:when] || edge["when"] }
    end

    # What Ruby computes cannot be kept with the template; whatever else is wrong is said when it is read.
    def check_condition(condition, path)
      return unless condition.respond_to?(:call)

      refuse("#{path}: when is a #{condition.class}; allowed: an expression in CEL as text, such as " \
             "\"context.total > 100\"; what Ruby has to compute is for a step above, whose results it can read",
             "key" => "when", "value" => condition.class.name, "allowed" => "an expression in CEL as text")
    end

    # Puts names in the place of classes.
    def name_classes(keys, path)
      %w[handler_class compensate_with].each { |key| keys[key] = handler_name(keys[key], path) if keys.key?(key) }
      undoing = keys["compensate"]
      return unless undoing.is_a?(Hash)

      keys["compensate"] =
        undoing.to_h { |key, value| [key, key.to_s == "handler_class" ? handler_name(value, path) : value] }
    end

    def translate(options, keys, path)
      options.compact.to_h do |option, value|
        key = keys.fetch(option) do
          refuse("#{path}: unknown option #{option}#{Internal::Suggestion.sentence(option, keys.keys)}",
                 "key" => option.to_s, "allowed" => keys.keys.join(", "))
        end
        [key, option == :error_classes ? Internal::ErrorClasses.copy(value) : value]
      end
    end

    def handler_name(handler, path)
      return handler unless handler.is_a?(Module)

      handler.name || refuse("#{path}: the handler is a class without a name; workers find classes by name",
                             "key" => "handler")
    end

    def refuse(message, details)
      raise InvalidTemplate.new("#{@source}: #{message}", details: details.merge("file" => @source))
    end
  end
end
