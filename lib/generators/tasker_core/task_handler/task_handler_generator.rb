# frozen_string_literal: true

require "rails/generators"
require "rails/generators/named_base"

module TaskerCore
  module Generators
    # `rails generate tasker_core:task_handler OrderFulfilment validate charge:validate ship:validate,charge`: a
    # template, a handler for each step, and specs. What is there already stays as it is.
    class TaskHandlerGenerator < ::Rails::Generators::NamedBase
      # A step: its name, and those that it waits for.
      Step = Struct.new(:name, :parents) do
        # @return [String] the last part of its handler's name
        def class_name
          name.camelize
        end
      end

      # What the name of a step is here, so that a class can have it.
      STEP = /\A[a-z][a-z0-9_]*\z/.freeze
      # Namespace of a template whose class is in no module.
      DEFAULT_NAMESPACE = "default"

      desc "Makes a workflow: a template in config/tasker, a handler for each step, and specs."
      source_root File.expand_path("templates", __dir__)
      argument :steps, type: :array, default: [], banner: "step step:parent step:parent,parent"
      class_option :dsl, type: :boolean, default: false, desc: "Write the template in Ruby, not in YAML"
      class_option :namespace, type: :string,
                               desc: "Namespace of the template. Default: the module of the name, else default"
      class_option :skip_specs, type: :boolean, default: false, desc: "Do without specs"

      # Before anything is written.
      def check_steps
        check_name
        raise Thor::Error, "name at least one step: validate charge:validate" if steps.empty?

        @steps = steps.map { |word| step(word) }
        @steps.each { |one| check_step(one) }
        TaskTemplate.new(definition, source: "the workflow")
      rescue InvalidTemplate => e
        raise Thor::Error, e.message
      end

      # The template.
      def create_template
        format = options[:dsl] ? "rb" : "yaml"
        template("template.#{format}.tt", "config/tasker/#{file_path}.#{format}", skip: true)
      end

      # The handlers.
      def create_handlers
        @steps.each do |step|
          @step = step
          template("handler.rb.tt", "app/handlers/#{file_path}/#{step.name}.rb", skip: true)
        end
      end

      # A spec or a test for each handler.
      def create_specs
        return if options[:skip_specs]

        folder, ending = rspec? ? %w[spec spec] : %w[test test]
        @steps.each do |step|
          @step = step
          template("handler_#{ending}.rb.tt", "#{folder}/handlers/#{file_path}/#{step.name}_#{ending}.rb", skip: true)
        end
      end

      private

      def check_name
        return if HandlerRegistry.class_name?(class_name)

        raise Thor::Error, "the name #{name.inspect} is not allowed, it is that of a class: OrderFulfilment, or " \
                           "Shop::OrderFulfilment"
      end

      def template_namespace
        options[:namespace] || (regular_class_path.any? ? regular_class_path.join("_") : DEFAULT_NAMESPACE)
      end

      def named_namespace?
        template_namespace != DEFAULT_NAMESPACE
      end

      def step(word)
        name, parents = word.split(":", 2)
        Step.new(name.to_s, parents.to_s.split(","))
      end

      def check_step(step)
        return if step.name.match?(STEP)

        raise Thor::Error, "the step #{step.name.inspect} is not allowed, a name is: a small letter, then small " \
                           "letters, digits and _"
      end

      def definition
        steps = @steps.map do |step|
          { name: step.name, handler_class: handler_class(step), depends_on_steps: step.parents }
        end
        { name: file_name, namespace_name: template_namespace, step_templates: steps }
      end

      def handler_class(step)
        "#{class_name}::#{step.class_name}"
      end

      # What a spec has the step executed with.
      def example
        results = @step.parents.map { |parent| "#{parent}: {}" }
        ["context: {}", ("results: { #{results.join(", ")} }" if results.any?)].compact.join(", ")
      end

      def rspec?
        ::Rails.application.config.generators.options.dig(:rails, :test_framework).to_s == "rspec" ||
          File.directory?(File.join(destination_root, "spec"))
      end
    end
  end
end
