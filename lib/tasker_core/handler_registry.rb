# frozen_string_literal: true

require_relative "errors"
require_relative "internal/suggestion"
require_relative "step_handler/workflow"

module TaskerCore
  # Finds the class behind the name of a handler: the constant of that name, loaded by whatever loads constants
  # (a `require`, `autoload`, Rails). There is nothing to register.
  module HandlerRegistry
    # What the name of a class looks like.
    CLASS_NAME = /\A(::)?[A-Z]\w*(::[A-Z]\w*)*\z/.freeze
    # Number of arguments of `process`.
    ARITY = 3

    @generation = 0

    class << self
      # @api private
      # @return [Integer] changes when classes that were found before are to be found anew
      attr_reader :generation

      # Has workers find the classes of handlers anew: those that they know are not there any more.
      #
      # @api private
      # @return [void]
      def forget
        @generation += 1
      end

      # @param name [String] for instance "Payments::ChargeCard"
      # @return [Class] a subclass of {StepHandler::Base}, any class that defines `process(task, sequence, step)`, or
      #   one of Active Job
      # @raise [HandlerNotFound] no such constant, or it is no handler; says what is near
      # @example
      #   TaskerCore::HandlerRegistry.resolve("Payments::ChargeCard")
      def resolve(name)
        refuse(name, "is not the name of a class") unless class_name?(name)
        handler = constant(name)
        problem = problem_of(handler)
        problem ? refuse(name, problem) : handler
      end

      # Finds the classes of all steps.
      #
      # @param template [TaskTemplate]
      # @return [void]
      # @raise [HandlerNotFound] naming the file, the template, the step and the class; also where it would not run the
      #   workflow that the step declares
      # @example
      #   TaskerCore::HandlerRegistry.check(template)
      def check(template)
        template.steps.each do |step|
          [step.fetch("handler_class"), step.dig("compensate", "handler_class")].compact.each { |name| resolve(name) }
          check_workflow(step) if step["workflow"]
        rescue HandlerNotFound => e
          raise HandlerNotFound.new("#{template.source}: step #{step.fetch("name").inspect}: #{e.message}",
                                    details: { **e.details, **identity(template), "step" => step.fetch("name") })
        end
      end

      # @api private
      # @param name [Object]
      # @return [Boolean] whether it looks like the name of a class
      def class_name?(name)
        name.is_a?(String) && name.valid_encoding? && CLASS_NAME.match?(name)
      end

      # @api private
      # @param parent [Class]
      # @return [Array<String>] its name, and those of the classes below it that are loaded
      def kinds_of(parent)
        [parent, *descendants(parent)].filter_map(&:name)
      end

      # @api private
      # @param error [StandardError, ScriptError] by the file of a class
      # @return [String] that it cannot be loaded, and why
      def unloadable(error)
        place = error.backtrace_locations&.first unless error.is_a?(ScriptError)
        place &&= ", #{place.path}:#{place.lineno}"
        "cannot be loaded (#{error.class}: #{error.message.scrub.lines.first.to_s.chomp}#{place})"
      end

      private

      def identity(template)
        namespace, name, version = template.key
        { "file" => template.source, "namespace" => namespace, "name" => name, "version" => version }
      end

      # Another handler would be executed in the place of the workflow.
      def check_workflow(step)
        name = step.fetch("handler_class")
        return if resolve(name) <= StepHandler::Workflow

        refuse(name, "does not run the workflow #{step["workflow"].fetch("name").inspect} that the step declares; " \
                     "allowed: a subclass of #{StepHandler::Workflow}, or no handler")
      end

      def constant(name)
        name.delete_prefix("::").split("::").inject(Object) { |scope, segment| member(scope, segment, name) }
      rescue HandlerNotFound
        raise
      rescue StandardError, ScriptError => e
        refuse(name, unloadable(e)) unless missing?(e, name)

        refuse(name, "cannot be found; load the file that defines it first#{hint(name)}")
      end

      # The class itself, and not what its file needs.
      def missing?(error, name)
        error.is_a?(NameError) && !error.is_a?(NoMethodError) && name.split("::").include?(error.name.to_s)
      end

      # Only the first segment may be found elsewhere than in the scope itself: `Shop::String` is not `String`.
      def member(scope, segment, name)
        refuse(name, "cannot be found: #{scope.inspect} is no module") unless scope.is_a?(Module)

        scope.const_get(segment, scope.equal?(Object))
      end

      def problem_of(handler)
        return "is no class, it is #{handler.inspect[0, 60]}" unless handler.is_a?(Class)
        return if Jobs.job?(handler)
        return "has no public method process(task, sequence, step)" unless defines_process?(handler)

        arity = handler.instance_method(:process).arity
        return if arity == ARITY || (arity.negative? && ~arity <= ARITY)

        "has a method process with other arguments than (task, sequence, step)"
      end

      def defines_process?(handler)
        handler.public_method_defined?(:process) && handler.instance_method(:process).owner != StepHandler::Base
      end

      def hint(name)
        known = descendants(StepHandler::Base).filter_map(&:name)
        nearest = known.find { |other| last(other) == last(name) } || Internal::Suggestion.nearest(name, known)
        nearest ? ", or did you mean #{nearest.inspect}?" : ""
      end

      def last(name)
        name.split("::").last
      end

      def descendants(parent)
        parent.subclasses.flat_map { |child| [child, *descendants(child)] }
      end

      def refuse(name, problem)
        raise HandlerNotFound.new("handler class #{class_name?(name) ? name : name.inspect} #{problem}",
                                  details: { "handler_class" => name.to_s })
      end
    end
  end
end
