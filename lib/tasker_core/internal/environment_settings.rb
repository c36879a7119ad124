# frozen_string_literal: true

require_relative "../errors"
require_relative "encryption_keys"

module TaskerCore
  module Internal
    # Settings that variables of the environment make. A variable that is empty makes none.
    module EnvironmentSettings
      # Setting => variable, and how its text is read.
      VARIABLES = {
        environment: ["TASKER_ENV", :itself.to_proc],
        pool_size: ["TASKER_POOL_SIZE", ->(text) { Integer(text, 10, exception: false) || text }],
        connect_timeout: ["TASKER_CONNECT_TIMEOUT", ->(text) { Float(text, exception: false) || text }],
        max_context_bytes: ["TASKER_MAX_CONTEXT_BYTES", ->(text) { Integer(text, 10, exception: false) || text }],
        encryption_keys: [EncryptionKeys::VARIABLE, EncryptionKeys.method(:parse)]
      }.freeze
      # Variable that names the environment where nothing else does.
      RAILS = "RAILS_ENV"
      private_constant :VARIABLES, :RAILS

      module_function

      # @param env [Hash{String => String}]
      # @return [Hash{Symbol => Object}] frozen; what is no number stays text, to be refused
      # @raise [ConfigurationError] a variable is not UTF-8
      # @example
      #   EnvironmentSettings.from("TASKER_POOL_SIZE" => "10") # => { pool_size: 10 }
      def from(env)
        VARIABLES.each_with_object({}) do |(setting, (variable, reading)), settings|
          text = text(env, variable)
          settings[setting] = reading.call(text) if text
        end.freeze
      end

      # @param env [Hash{String => String}]
      # @return [String, nil] the environment that is meant where no setting says so
      def assumed_environment(env)
        text(env, RAILS)
      end

      # Variables have the encoding of the locale, which is ASCII in many containers.
      #
      # @param env [Hash{String => String}]
      # @param variable [String]
      # @return [String, nil] its text as UTF-8, nil where it is not set or empty
      # @raise [ConfigurationError] it is not UTF-8
      # @example
      #   EnvironmentSettings.text({ "TASKER_ENV" => "" }, "TASKER_ENV") # => nil
      def text(env, variable)
        text = env[variable].to_s.dup.force_encoding(Encoding::UTF_8)
        return (text unless text.empty?) if text.valid_encoding?

        raise ConfigurationError.new("#{variable} is not UTF-8; set it to text in UTF-8",
                                     details: { "key" => variable, "allowed" => "text in UTF-8" })
      end

      # @param setting [Symbol]
      # @return [String] the variable that makes it
      # @example
      #   EnvironmentSettings.variable(:pool_size) # => "TASKER_POOL_SIZE"
      def variable(setting)
        VARIABLES.fetch(setting).first
      end
    end
  end
end
