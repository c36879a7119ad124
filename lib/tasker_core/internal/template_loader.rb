# frozen_string_literal: true

require_relative "../errors"
require_relative "../handler_registry"
require_relative "../task_template"

module TaskerCore
  module Internal
    # Finds the template files behind paths and patterns and loads them.
    class TemplateLoader
      # Files of a folder that are templates.
      FOLDER_PATTERN = "**/*.{yaml,yml}"

      # @param environment [String] which of the files' `environments:` is merged in
      def initialize(environment:)
        @environment = environment
      end

      # @param paths [Array<String, Pathname>] files, folders or patterns
      # @return [Array<TaskTemplate>] in the order of the paths, files of a pattern by name
      # @raise [InvalidArgument] a path or pattern matches no file
      # @raise [InvalidTemplate]
      # @raise [HandlerNotFound]
      # @example
      #   TemplateLoader.new(environment: "test").load(["config/tasker"])
      def load(paths)
        files(paths).map do |file|
          template = TaskTemplate.load_file(file, environment: @environment)
          HandlerRegistry.check(template)
          template
        end
      end

      private

      def files(paths)
        patterns = paths.flatten.map(&:to_s)
        impossible = patterns.find { |pattern| pattern.include?("\0") }
        impossible ? refuse(impossible) : patterns.flat_map { |pattern| matches(pattern) }.uniq
      end

      def matches(pattern)
        return [pattern] if File.exist?(pattern) && !File.directory?(pattern)

        found = File.directory?(pattern) ? Dir.glob(FOLDER_PATTERN, base: pattern) : Dir.glob(pattern)
        refuse(pattern) if found.empty?
        File.directory?(pattern) ? found.map { |file| File.join(pattern, file) } : found
      end

      def refuse(pattern)
        raise InvalidArgument.new("no template file matches #{pattern.inspect} (looked from #{Dir.pwd})",
                                  details: { "key" => "path", "value" => pattern })
      end
    end
  end
end
