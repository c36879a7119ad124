# frozen_string_literal: true

require "json"
require_relative "../errors"
require_relative "../handler_registry"
require_relative "../step_handler/errors"
require_relative "../jobs"

module TaskerCore
  module Internal
    # All that is the same in every attempt of a template's step: found once, read by each attempt. What no attempt
    # reads is not kept: a template may have 60,000 steps.
    class StepPlan
      # @return [String]
      attr_reader :name
      # @return [TemplateSteps]
      attr_reader :template
      # @return [Integer]
      attr_reader :retry_limit
      # @return [Hash{String => Object}] frozen
      attr_reader :config
      # @return [Hash{String => String}] the step's own table of exception classes
      attr_reader :error_classes

      # @param index [Integer] position of the step
      # @param template [TemplateSteps]
      def initialize(index, template)
        definition = template.definition(index)
        @index = index
        @template = template
        @name = definition.fetch("name")
        @retry_limit = definition.fetch("default_retry_limit")
        @config = definition["handler_config"] || {}.freeze
        @decides = definition.fetch("decides", false)
        @branches = definition.fetch("branches")
        @error_classes = definition.fetch("error_classes", {})
        @parents = definition.fetch("depends_on_steps").to_h { |parent| [parent, true] }
        @definition = definition
        @generation = nil
      end

      # Finds the handler's class, where that was not done since code was loaded. In the attempt, around which the
      # application has its code loaded anew, and before anything is asked about the handler.
      #
      # @return [self]
      # @raise [HandlerNotFound] it is looked for again with the next attempt
      # @raise [BlockedError] the handler cannot be executed here
      # @example
      #   plan.find_handler.transactional?
      def find_handler
        generation = HandlerRegistry.generation
        return self if @generation == generation

        find(@definition || template.definition(@index))
        @definition = nil
        @generation = generation
        self
      end

      # @return [Object] a handler for one attempt
      # @example
      #   plan.handler.process(task, sequence, step)
      def handler
        return @in_place if @in_place

        @takes_config ? @handler_class.new(config: @config) : @handler_class.new
      end

      # @return [Boolean] whether the handler turns its output into results itself
      def processes_results?
        @processes_results
      end

      # @return [Boolean] whether the handler is executed in a transaction of the application's
      def transactional?
        @transactional
      end

      # @return [Boolean] whether the handler says which of the steps that depend on this one are taken
      def decides?
        @decides
      end

      # @return [Array<String>] frozen; names of the steps that depend on a step that decides; [] for any other
      attr_reader :branches

      # @param name [String]
      # @return [Boolean] whether it names a branch of a step that decides
      def branch?(name)
        @branches.include?(name)
      end

      # @param name [String]
      # @return [Boolean] whether this step depends on the other directly
      def parent?(name)
        @parents.key?(name)
      end

      # @param name [String]
      # @return [Boolean] whether the template has such a step
      def step?(name)
        template.index_of(name) ? true : false
      end

      # @return [Array<String>] names of the template's steps
      def step_names
        template.step_names
      end

      private

      def find(definition)
        @handler_class = resolve(definition.fetch("handler_class"))
        @in_place = template.in_place_of(@handler_class, definition)
        @takes_config = takes_config?
        @processes_results = @in_place.nil? && @handler_class.public_method_defined?(:process_results)
        @transactional = transactional_here?
      end

      def resolve(handler_class)
        HandlerRegistry.resolve(handler_class)
      rescue HandlerNotFound => e
        raise HandlerNotFound.new("template #{template}, step #{name.inspect}: #{e.message}; deploy it to all " \
                                  "workers of the step's queue, then have the step tried again", details: e.details),
              cause: e.cause
      end

      # The transaction is one of the process that executes the handler.
      def transactional_here?
        transactional = @handler_class.respond_to?(:transactional?) && @handler_class.transactional?
        return transactional unless transactional && @in_place

        raise BlockedError, "#{@handler_class} is transactional, and performed by Active Job: it can be one of these"
      end

      def takes_config?
        @handler_class.instance_method(:initialize).parameters.any? do |kind, name|
          kind == :keyrest || (%i[key keyreq].include?(kind) && name == :config)
        end
      end
    end

    # The steps of a task that is undone, as the handler of one that undoes sees them: results are all fetched.
    OriginalSteps = Struct.new(:template, :name) do
      # @param _name [String]
      # @return [Boolean]
      def parent?(_name)
        false
      end

      # @param step [String]
      # @return [Boolean] whether the template has such a step
      def step?(step)
        template.index_of(step) ? true : false
      end

      # @return [Array<String>] names of the template's steps
      def step_names
        template.step_names
      end
    end

    # The steps of one template as the database has it, which may be another version than this process loaded. What it
    # says of a step is read with the first attempt of that step: of a large template nothing is kept twice.
    class TemplateSteps
      # What names of templates end with that undo others.
      COMPENSATION = " (compensation)"

      # @return [String]
      attr_reader :name, :namespace, :version

      # @param native [Bridge::Worker] what knows the template
      # @param template_id [Integer]
      def initialize(native, template_id)
        @native = native
        @template_id = template_id
        said = parse(head)
        @namespace, @name, @version, @grows = said.values_at("namespace_name", "name", "version", "grows")
        @error_classes = said.fetch("error_classes", {})
        @plans = []
      end

      # @return [Boolean] whether tasks may get steps that the template does not name
      def grows?
        @grows
      end

      # @param index [Integer] position of the step
      # @return [StepPlan]
      # @example
      #   steps.plan(0).retry_limit
      def plan(index)
        @plans[index] ||= StepPlan.new(index, self)
      end

      # @param index [Integer]
      # @return [Hash{String => Object}] the step in a normalised template with its branches, read anew; frozen
      # @example
      #   steps.definition(0)["handler_class"]
      def definition(index)
        parse(@native.step_definition(@template_id, index))
      end

      # @param index [Integer]
      # @return [String, nil] name of the step; nil for one that was added to a task
      def step_name(index)
        step_names[index]
      end

      # @param index [Integer]
      # @return [Hash{String => Hash{String => String}}] tables of exception classes, for {ErrorClasses}: the step's
      #   own and the template's
      def error_classes(index)
        own = @plans[index]&.error_classes || definition(index).fetch("error_classes", {})
        { "step" => own, "template" => @error_classes }
      end

      # @return [String] JSON, what the template says of all its steps
      def head
        @native.template(@template_id)
      end

      # @param handler_class [Class]
      # @param definition [Hash{String => Object}] of the step
      # @return [#process, nil] what executes the step in every attempt, where that is not a handler of its class
      def in_place_of(handler_class, definition)
        Jobs.in_place_of(handler_class, definition, self)
      end

      # @return [Boolean] whether its steps undo those of another template
      def compensation?
        name.end_with?(COMPENSATION)
      end

      # @param name [String]
      # @return [Integer, nil] position of the step
      def index_of(name)
        (@indexes ||= step_names.each_with_index.to_h.freeze)[name]
      end

      # @return [Array<String>] frozen; names of the steps, in order
      def step_names
        @step_names ||= parse(@native.step_names(@template_id))
      end

      # @return [String] for instance "default/order_fulfilment 0.1.0"
      def to_s
        "#{namespace}/#{name} #{version}"
      end

      private

      def parse(json)
        JSON.parse(json, freeze: true, max_nesting: false)
      end
    end

    # The plans of all templates that a worker has met. Two threads that meet a step at the same time build its
    # plan twice, which harms nothing; so no lock stands in the way of every attempt.
    class StepPlans
      # @param native [Bridge::Worker] what knows the templates
      def initialize(native)
        @native = native
        @templates = {}
      end

      # @param template_id [Integer]
      # @return [TemplateSteps]
      # @example
      #   plans.template(7).plan(0)
      def template(template_id)
        @templates[template_id] ||= TemplateSteps.new(@native, template_id)
      end
    end
  end
end
