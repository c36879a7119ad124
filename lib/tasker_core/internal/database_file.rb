# frozen_string_literal: true

require "psych"
require_relative "../errors"
require_relative "suggestion"

module TaskerCore
  module Internal
    # The file config/tasker.yml, which may name a database: one for all environments, or one for
    # each, or both.
    #
    # @example
    #   DatabaseFile.new("config/tasker.yml").url("production") # => "postgres://db.internal/shop"
    class DatabaseFile
      # Keys of the file.
      KEYS = %w[database_url environments].freeze

      # Keys of one environment in it.
      ENVIRONMENT_KEYS = %w[database_url].freeze

      # @param path [String] the file; it need not exist
      def initialize(path)
        @path = path
      end

      # @param environment [String] the environment's name
      # @return [Object, nil] what the file says, the environment's own word first
      # @raise [ConfigurationError] the file is not understood; the message begins with its path
      def url(environment)
        settings = section(document, nil, KEYS)
        environments = section(settings["environments"], "environments", nil)
        own = section(environments[environment], "environments.#{environment}", ENVIRONMENT_KEYS)
        own["database_url"] || settings["database_url"]
      end

      private

      def document
        Psych.safe_load(File.read(@path, encoding: Encoding::UTF_8))
      rescue Errno::ENOENT, Errno::ENOTDIR
        nil
      rescue SystemCallError => e
        refuse("cannot be read: #{SystemCallError.new(nil, e.errno).message}")
      rescue Psych::Exception, ArgumentError => e
        refuse("is not understood: #{e.message}")
      end

      # Nothing at all counts as an empty section.
      def section(value, key, allowed)
        value = {} if value.nil?
        refuse("#{key || "it"} must hold keys and values, it is a #{value.class}") unless value.is_a?(Hash)
        unknown = allowed && (value.keys - allowed).first
        unknown.nil? ? value : refuse(unknown_key(key, unknown, allowed))
      end

      def unknown_key(section, key, allowed)
        "unknown key #{[section, key].compact.join(".")}, allowed: #{allowed.join(", ")}" \
          "#{Suggestion.sentence(key, allowed)}"
      end

      def refuse(message)
        raise ConfigurationError.new("#{@path}: #{message}", details: { "file" => @path })
      end
    end
  end
end
