# frozen_string_literal: true

module TaskerCore
  module Internal
    # The templates of a folder of an application, in YAML and in Ruby: loaded when they are first needed, and anew when
    # code was. Files whose handler classes are not there are set aside, and keep no others from being loaded.
    class ApplicationTemplates
      # Files of the folder, at any depth. The Ruby files are loaded first.
      PATTERNS = ["**/*.rb", "**/*.{yaml,yml}"].freeze
      # Endings of the files.
      EXTENSIONS = %w[rb yaml yml].freeze

      class << self
        # @return [Array<String>] folders in that of the templates whose files are something else. Default [].
        attr_accessor :left_out

        # @return [#call] file => the template that a class of the application makes of it, or nil. Default: always nil.
        attr_accessor :made_by_class
      end
      self.left_out = [].freeze
      self.made_by_class = ->(_file) {}

      # @return [String]
      attr_reader :folder

      # @param folder [String, Pathname] need not exist
      def initialize(folder)
        @folder = folder.to_s
        @loaded = []
        @aside = []
      end

      # Has them loaded with the next look at the templates, in the place of those that were loaded before.
      #
      # @return [void]
      # @example
      #   templates.expect
      def expect
        TaskerCore.registry.later { load.then { [] } }
      end

      # Loads each file by itself.
      #
      # @return [Hash{String => String}] file => what is wrong, of those that cannot be loaded
      # @example
      #   templates.problems # => { "config/tasker/order.yaml" => "... handler class Nowhere cannot be found" }
      def problems
        files.to_h { |file| [file, problem_of(file)] }.compact
      end

      private

      def problem_of(file)
        load_file(file)
        nil
      rescue StandardError, ScriptError => e
        e.is_a?(Error) ? e.message : "#{e.class}: #{e.message.lines.first.to_s.chomp}"
      end

      def load
        registry = TaskerCore.registry
        registry.remove(@loaded)
        registry.put_back(@aside)
        others = registry.all
        others_aside = registry.aside
        files.each { |file| load_or_set_aside(file) }
      ensure
        @loaded = registry.all.reject { |template| others&.any? { |other| other.equal?(template) } }
        @aside = registry.aside.keys - others_aside.to_h.keys
      end

      def load_or_set_aside(file)
        load_file(file)
      rescue HandlerNotFound => e
        TaskerCore.registry.set_aside(file, e)
      end

      def load_file(file)
        return Kernel.load(file) if file.end_with?(".rb")

        template = self.class.made_by_class.call(file)
        template ? TaskerCore.registry.add([template]) : TaskerCore.load_templates(file)
      end

      def files
        files = PATTERNS.flat_map { |pattern| Dir.glob(pattern, base: @folder).sort }
        others = self.class.left_out.map { |folder| "#{folder}/" }
        files.reject { |file| file.start_with?(*others) }.map { |file| File.join(@folder, file) }
      end
    end
  end
end
