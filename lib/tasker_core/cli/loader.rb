# frozen_string_literal: true

require_relative "usage_error"

module TaskerCore
  class CLI
    # Loads what `-r` names: a Ruby file with handlers, a YAML template, or a folder with both.
    module Loader
      TEMPLATE = /\.ya?ml\z/i.freeze

      module_function

      # Loads every path, in order.
      #
      # @param paths [Array<String>] files and folders
      # @return [void]
      # @raise [UsageError] a path does not exist, or its code fails while it is loaded
      # @raise [InvalidTemplate] a template was refused; one whose handlers are missing when all is loaded is set aside
      # @example
      #   Loader.load(["config/tasker.rb"])
      def load(paths)
        paths.each { |path| files_of(path).each { |file| load_file(file) } }
      end

      # The files that a path stands for: itself, or in a folder the Ruby files and then the templates.
      #
      # @param path [String]
      # @return [Array<String>] absolute paths
      # @raise [UsageError] there is no such file, or nothing to load in the folder
      def files_of(path)
        absolute = File.expand_path(path)
        raise UsageError, "-r #{path}: there is no such file or folder" unless File.exist?(absolute)
        return [absolute] unless File.directory?(absolute)

        files = %w[*.rb *.{yaml,yml}].flat_map { |pattern| Dir.glob(pattern, base: absolute).sort }
        raise UsageError, "-r #{path}: the folder holds no .rb, .yaml or .yml file" if files.empty?

        files.map { |file| File.join(absolute, file) }
      end

      # @api private
      def load_file(file)
        file.match?(TEMPLATE) ? bring(TaskTemplate.load_file(file)) : Kernel.load(file)
      rescue Error, UsageError, SystemExit, SignalException
        raise
      rescue Exception => e # rubocop:disable Lint/RescueException -- a file may recurse without an end, or raise such a one
        raise UsageError, "-r #{file}: #{e.class}: #{e.message.lines.first.to_s.chomp}#{place(e, file)}"
      end

      # What is loaded afterwards may define its handlers.
      #
      # @api private
      def bring(template)
        TaskerCore.registry.later { HandlerRegistry.check(template).then { template } }
      end

      # @api private
      def place(error, file)
        line = error.backtrace_locations&.find { |location| location.absolute_path == file }&.lineno
        line ? " (line #{line})" : ""
      end
    end
  end
end
