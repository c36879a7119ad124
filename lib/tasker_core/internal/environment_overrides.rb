# frozen_string_literal: true

require_relative "../errors"
require_relative "suggestion"

module TaskerCore
  module Internal
    # The `environments:` part of a template file: what one environment says is merged over the rest. Mappings are
    # merged key by key, `step_templates` step by step (by name), everything else is replaced.
    class EnvironmentOverrides
      # The key that holds the overrides.
      KEY = "environments"
      # The list that is merged by name.
      STEPS = "step_templates"
      # Longest piece of a name or value that a message shows, in characters.
      SHOWN = 60

      # @param definition [Hash{String => Object}] as read from the file; not changed
      # @param source [String] names the file in messages
      # @raise [InvalidTemplate] the part is malformed or names a step that the template does not have
      def initialize(definition, source:)
        @source = source
        @base = definition.except(KEY)
        @environments = definition.fetch(KEY, {})
        check
      end

      # @return [Array<String>] environments that the file mentions
      # @example
      #   overrides.names # => ["test", "production"]
      def names
        @environments.keys
      end

      # @param environment [String, nil] nil, or one that the file does not mention: nothing is overridden
      # @return [Hash{String => Object}] the definition of this environment, without the overrides
      # @example
      #   overrides.apply("test")
      def apply(environment)
        override = @environments[environment]
        override ? merge_template(override) : @base
      end

      private

      def merge_template(override)
        merged = deep_merge(@base, override.except(STEPS))
        merged[STEPS] = merge_steps(override[STEPS]) if @base[STEPS].is_a?(Array)
        merged
      end

      def merge_steps(overrides)
        by_name = (overrides || []).to_h { |step| [step["name"], step] }
        @base[STEPS].map do |step|
          override = step.is_a?(Hash) && by_name[step["name"]]
          override ? deep_merge(step, override) : step
        end
      end

      def deep_merge(base, override)
        base.merge(override) do |_key, old, new|
          old.is_a?(Hash) && new.is_a?(Hash) ? deep_merge(old, new) : new
        end
      end

      def check
        check_kind(KEY, @environments, Hash)
        @environments.each do |name, override|
          path = "#{KEY}.#{name[0, SHOWN]}"
          check_kind(path, override, Hash)
          check_steps("#{path}.#{STEPS}", override[STEPS]) if override.key?(STEPS)
        end
      end

      def check_steps(path, steps)
        check_kind(path, steps, Array)
        seen = {}
        steps.each_with_index do |step, index|
          check_kind("#{path}[#{index}]", step, Hash)
          check_name("#{path}[#{index}].name", step["name"], seen)
        end
      end

      def check_name(path, name, seen)
        unless step_names.key?(name)
          refuse(path, name, "a step of this template", Suggestion.nearest(name, step_names.each_key))
        end
        refuse(path, name, "each step once") if seen.key?(name)
        seen[name] = true
      end

      # Names as keys: there may be as many of them as fit into a file.
      def step_names
        @step_names ||= Array(@base[STEPS]).grep(Hash).to_h { |step| [step["name"], true] }
      end

      def check_kind(path, value, kind)
        return if value.is_a?(kind)

        refuse(path, value, kind == Hash ? "keys and values" : "a list")
      end

      def refuse(path, value, allowed, suggestion = nil)
        shown = value.inspect[0, SHOWN]
        hint = suggestion ? "; did you mean #{suggestion.inspect}?" : ""
        details = { "file" => @source, "key" => path, "value" => shown, "allowed" => allowed,
                    "suggestion" => suggestion }
        raise InvalidTemplate.new("#{@source}: #{path} is #{shown}, allowed: #{allowed}#{hint}",
                                  details: details.compact)
      end
    end
  end
end
