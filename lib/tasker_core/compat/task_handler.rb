# frozen_string_literal: true

module Tasker
  # A class that defines a workflow and makes its tasks. Workers execute them.
  #
  # @example
  #   class OrderHandler
  #     include Tasker::TaskHandler
  #     register_handler("process_order", namespace_name: "shop", version: "1.0.0")
  #     define_step_templates do |templates|
  #       templates.define(name: "validate", handler_class: ValidateOrder)
  #       templates.define(name: "charge", depends_on_step: "validate", handler_class: ChargeCard)
  #     end
  #
  #     def schema
  #       { type: "object", required: ["order_id"], properties: { order_id: { type: "integer" } } }
  #     end
  #   end
  #   OrderHandler.new.initialize_task!(Tasker::Types::TaskRequest.new(name: "process_order", context: { order_id: 7 }))
  module TaskHandler
    # Methods that the ancestor's engine calls, and no worker.
    HOOKS = %i[establish_step_dependencies_and_defaults update_annotations].freeze

    # Collects the steps of a task handler.
    class StepDefiner
      # @return [Array<Hash{String => Object}>] as in a template
      attr_reader :steps

      def initialize
        @steps = []
      end

      # @param name [String]
      # @param handler_class [Class, String]
      # @param options [Hash{Symbol => Object}] description, depends_on_step, depends_on_steps, default_retryable,
      #   default_retry_limit, skippable, dependent_system, handler_config, custom_events, and any other key of a step
      # @return [void]
      # @example
      #   templates.define(name: "charge", handler_class: ChargeCard, depends_on_step: "validate")
      def define(name:, handler_class:, **options)
        config = options[:handler_config]
        options[:handler_config] = config.to_h if config.is_a?(StepHandler::Api::Config)
        @steps << { "name" => name.to_s, "handler_class" => "::#{handler_class.to_s.delete_prefix("::")}",
                    **options.compact.transform_keys(&:to_s) }
      end
    end

    # What its classes have.
    module ClassMethods
      # @param name [String, Symbol] of the template
      # @param namespace_name [String, Symbol] Default "default".
      # @param version [String] Default "0.1.0".
      # @param concurrent [Boolean] has no effect: steps that do not depend on each other run beside each other
      # @return [void]
      def register_handler(name, namespace_name: "default", version: "0.1.0", concurrent: true) # rubocop:disable Lint/UnusedMethodArgument -- the ancestor's
        @registration = { "name" => name.to_s, "namespace_name" => namespace_name.to_s, "version" => version.to_s }
        HandlerFactory.instance.register(name, self, namespace_name: namespace_name, version: version)
        @task_template = nil
        TaskerCore.registry.later { task_template }
      end

      # @yieldparam templates [StepDefiner]
      # @return [void]
      def define_step_templates
        definer = StepDefiner.new
        yield definer
        @steps = definer.steps
        @task_template = nil
      end

      # @return [TaskerCore::TaskTemplate, nil] nil: its name or its steps are not known yet
      # @raise [TaskerCore::InvalidTemplate]
      # @raise [TaskerCore::HandlerNotFound]
      def task_template
        @task_template ||= (checked(TaskerCore::TaskTemplate.new(definition, source: to_s)) if @registration && @steps)
      end

      # @return [Array<Hash>] events of its own, which need not be declared
      def custom_event_configuration
        []
      end

      private

      def definition
        { **@registration, "schema" => new.schema, "step_templates" => @steps }.compact
      end

      def checked(template)
        TaskerCore::HandlerRegistry.check(template)
        hooks = HOOKS.select { |hook| method_defined?(hook) || private_method_defined?(hook) }
        unless hooks.empty?
          TaskerCore.configuration.logger.warn { "#{self}: #{hooks.join(", ")}: not called; see docs/compat.md" }
        end
        template
      end
    end

    # @param base [Class]
    # @return [void]
    # @api private
    def self.included(base)
      super
      base.extend(ClassMethods)
    end

    # @return [Hash, nil] the JSON Schema of contexts. Default nil: any.
    def schema
      nil
    end

    # Makes a task, which workers execute.
    #
    # @param request [Types::TaskRequest]
    # @return [Task] without an id, and with errors, where the context violates the schema
    # @raise [ProceduralError] the request is for another handler
    # @example
    #   handler.initialize_task!(request).task_id # => 42
    def initialize_task!(request)
      template = registered_template
      check_request(request, template)
      options = %i[initiator source_system reason].to_h { |part| [part, request.public_send(part)] }
      task_id = TaskerCore.submit(template.name, context: request.context, namespace: template.namespace,
                                                 version: template.version, tags: request.tags.map(&:to_s), **options)
      Task.new(task_id, request)
    rescue TaskerCore::InvalidContext => e
      Task.new(nil, request, { context: [e.message] })
    end

    # @raise [ProceduralError] always: workers execute tasks
    def handle(_task)
      raise ProceduralError, "workers execute tasks: start one (tasker work), and see TaskerCore.wait(task.task_id)"
    end

    private

    def registered_template
      template = self.class.task_template or
        raise ProceduralError, "#{self.class} has no template: call register_handler and define_step_templates"
      TaskerCore.registry.add([template])
      template
    end

    # What a request does not say has the default, which is anybody's.
    def check_request(request, template)
      defaults = Types::TaskRequest::DEFAULTS
      differs = request.name != template.name ||
                ![template.namespace, defaults[:namespace]].include?(request.namespace) ||
                ![template.version, defaults[:version]].include?(request.version)
      return unless differs

      raise ProceduralError, "the request is for #{request.namespace}/#{request.name} #{request.version}, " \
                             "#{self.class} makes tasks of #{template}"
    end
  end
end
