# frozen_string_literal: true

require "erb"
require "psych"
require_relative "../errors"
require_relative "suggestion"
require_relative "worker_options"
require_relative "yaml_builder"

module TaskerCore
  module Internal
    # The file config/tasker.yml: settings for all environments, and beside them those of one environment, which win.
    # What stands in `<%= %>` is Ruby. Whether a value is allowed is for {Configuration} to say.
    #
    # @example
    #   ConfigurationFile.new("config/tasker.yml").settings("production") # => { pool_size: 10 }
    class ConfigurationFile
      # Settings that the file may hold.
      KEYS = %w[database_url database pool_size connect_timeout max_context_bytes current_attributes encryption_keys
                error_classes worker].freeze
      # The key with the settings of environments.
      ENVIRONMENTS = "environments"
      # Environments that most applications have: another one that is like one of these, which the file does not have,
      # is a slip.
      USUAL = %w[development test staging production].freeze
      # Settings that hold keys and values: those of the environment are merged over the others.
      TABLES = %w[encryption_keys error_classes worker].freeze

      # @return [String]
      attr_reader :path

      # @param path [String] the file; it need not exist
      def initialize(path)
        @path = path
        @settings = {}
      end

      # @param environment [String] the environment's name
      # @return [Hash{Symbol => Object}] the settings that the file makes; frozen
      # @raise [ConfigurationError] the file is not understood; the message begins with its path
      # @example
      #   file.settings("production")
      def settings(environment)
        @settings[environment] ||= begin
          all = section(document, nil, [*KEYS, ENVIRONMENTS])
          environments = section(all[ENVIRONMENTS], ENVIRONMENTS, nil)
          check(nil, all)
          environments.each do |name, own|
            check_name(name, [*USUAL, environment], environments.keys)
            check("#{ENVIRONMENTS}.#{name}", section(own, "#{ENVIRONMENTS}.#{name}", KEYS))
          end
          merge(all.except(ENVIRONMENTS), environments[environment] || {})
        end
      end

      # @return [String] without what the file holds: passwords and keys may be in it
      def inspect
        "#<#{self.class} #{path}>"
      end

      private

      def document
        @document ||= [YamlBuilder.new(@path).build(evaluated(File.read(@path, encoding: Encoding::UTF_8)))]
        @document.first
      rescue InvalidTemplate => e
        raise ConfigurationError.new(e.message, details: e.details)
      rescue Errno::ENOENT, Errno::ENOTDIR
        nil
      rescue SystemCallError => e
        refuse("cannot be read: #{SystemCallError.new(nil, e.errno).message}")
      rescue Psych::Exception, ArgumentError => e
        refuse("is not understood: #{e.message}")
      end

      def evaluated(text)
        refuse("is not understood: it is not UTF-8") unless text.valid_encoding?
        template = ERB.new(text, trim_mode: "-")
        template.filename = @path
        template.result
      rescue ConfigurationError
        raise
      rescue StandardError, ScriptError => e
        line = e.backtrace_locations&.find { |location| location.path == @path }&.lineno
        refuse("its Ruby fails#{" in line #{line}" if line}: #{e.class}: #{e.message.lines.first.to_s.chomp}")
      end

      # Nothing at all counts as an empty section.
      def section(value, key, allowed)
        value = {} if value.nil?
        refuse("#{key || "it"} must hold keys and values, it is a #{value.class}") unless value.is_a?(Hash)
        unknown = allowed && (value.keys - allowed).first
        unknown.nil? ? value : refuse(unknown_key(key, unknown, allowed))
      end

      def check(place, settings)
        key = [place, "worker"].compact.join(".")
        section(settings["worker"], key, WorkerOptions::DEFAULTS.keys.map(&:to_s))
      end

      def check_name(name, known, all)
        return if known.include?(name)

        meant = Suggestion.nearest(name, known)
        return if meant.nil? || all.include?(meant)

        refuse("unknown environment #{ENVIRONMENTS}.#{name}; did you mean #{meant.inspect}?")
      end

      def merge(all, own)
        merged = all.merge(own) do |key, common, special|
          TABLES.include?(key) && common.is_a?(Hash) && special.is_a?(Hash) ? common.merge(special) : special
        end
        merged.compact.transform_keys(&:to_sym).freeze
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
