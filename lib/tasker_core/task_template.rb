# frozen_string_literal: true

require "json"
require_relative "errors"
require_relative "internal/bridge"
require_relative "internal/environment_overrides"
require_relative "internal/json_text"
require_relative "internal/yaml_file"

module TaskerCore
  # A workflow's definition: the steps, what each depends on, and how each is retried. Frozen. Made from a YAML file
  # ({TaskerCore.load_templates}) or in Ruby ({TaskerCore.define}); both give the same structure.
  class TaskTemplate
    # @return [String]
    attr_reader :name, :namespace, :version
    # @return [String, nil]
    attr_reader :description
    # @return [String] where it was written: a file, or a file and a line of Ruby
    attr_reader :source
    # @return [Hash{String => Object}] the normalised definition, every default filled in; frozen, also inside
    attr_reader :definition
    # @return [String] the normalised definition as JSON
    attr_reader :json

    # Reads a YAML file. Handler classes are not looked for. What each of its `environments:` makes of the template is
    # checked, whichever is asked for.
    #
    # @param path [String]
    # @param environment [String, nil] which of the file's `environments:` is merged in; nil: none
    # @return [TaskTemplate]
    # @raise [InvalidTemplate] the message begins with the path
    # @example
    #   TaskerCore::TaskTemplate.load_file("config/tasker/order_fulfilment.yaml", environment: "production")
    def self.load_file(path, environment: TaskerCore.configuration.environment)
      overrides = overrides_of(path)
      (overrides.names - [environment]).each { |name| from_environment(overrides, path, name) }
      from_environment(overrides, path, environment)
    end

    # @api private
    def self.overrides_of(path)
      Internal::EnvironmentOverrides.new(Internal::YamlFile.read(path), source: path)
    end

    # @api private
    def self.from_environment(overrides, path, environment)
      overridden = overrides.names.include?(environment)
      new(overrides.apply(environment), source: overridden ? "#{path} (environment #{environment})" : path)
    end
    private_class_method :overrides_of, :from_environment

    # @param definition [Hash{String, Symbol => Object}] keys as in a YAML file, without `environments`
    # @param source [String] where it was written, for messages
    # @raise [InvalidTemplate] details hold "key", "value", "allowed" and, where there is one, "suggestion"
    def initialize(definition, source:)
      @source = source.dup.freeze
      @json = normalise(definition).freeze
      @definition = JSON.parse(@json, freeze: true, max_nesting: false)
      @namespace, @name, @version, @description =
        @definition.values_at("namespace_name", "name", "version", "description")
      freeze
    end

    # What identifies a template.
    #
    # @return [Array<String>] namespace, name, version
    # @example
    #   template.key # => ["default", "order_fulfilment", "0.1.0"]
    def key
      [namespace, name, version]
    end

    # @return [Array<Hash{String => Object}>] the definitions of the steps; a step's position is its index
    # @example
    #   template.steps.first["depends_on_steps"] # => []
    def steps
      definition.fetch("step_templates")
    end

    # @return [Array<String>]
    # @example
    #   template.step_names # => ["validate_order", "charge_card"]
    def step_names
      steps.map { |step| step.fetch("name") }
    end

    # @param other [Object]
    # @return [Boolean] whether both define the same, wherever they were written
    # @example
    #   from_yaml == from_ruby
    def ==(other)
      other.is_a?(TaskTemplate) && definition == other.definition
    end
    alias eql? ==

    # @return [Integer]
    def hash
      key.hash
    end

    # @return [String] for instance "default/order_fulfilment 0.1.0"
    def to_s
      "#{namespace}/#{name} #{version}"
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{self} (#{steps.size} steps, #{source})>"
    end

    private

    def normalise(definition)
      Internal::Bridge.check_template(Internal::JsonText.new(symbols: true).generate(definition, what: "template"))
    rescue InvalidTemplate, InvalidContext => e
      raise InvalidTemplate.new("#{source}: #{e.message}", details: { "file" => source }.merge(e.details))
    end
  end
end
