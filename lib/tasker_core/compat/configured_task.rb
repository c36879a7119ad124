# frozen_string_literal: true

module Tasker
  # A task handler whose steps stand in a YAML file.
  #
  # @example
  #   class OrderHandler < Tasker::ConfiguredTask
  #     def self.yaml_path
  #       File.join(__dir__, "order_handler.yaml")
  #     end
  #   end
  class ConfiguredTask
    include TaskHandler

    class << self
      # @param subclass [Class]
      # @return [void]
      # @api private
      def inherited(subclass)
        super
        TaskerCore.registry.later { subclass.task_template if subclass.name && File.exist?(subclass.yaml_path) }
      end

      # The file and the class say of a template what it is: the class may have its schema.
      #
      # @param file [String]
      # @return [TaskerCore::TaskTemplate, nil] nil: no class of the application has its template there
      # @raise [TaskerCore::HandlerNotFound] the class, or one of its handlers, cannot be loaded
      # @api private
      def made_of(file)
        name = file[%r{/config/tasker/tasks/(.+)\.yaml\z}, 1] or return

        task = task_class(name.camelize, file)
        task.task_template if task.is_a?(Class) && task < self && task.yaml_path.to_s == file
      end

      # @return [String] its name as a path: `Shop::OrderHandler` is "shop/order_handler"
      def task_name
        to_s.gsub("::", "/").gsub(/([A-Z\d]+)([A-Z][a-z])/, '\1_\2').gsub(/([a-z\d])([A-Z])/, '\1_\2').downcase
      end

      # @return [String, Pathname] where its template is. Default: config/tasker/tasks/TASK_NAME.yaml below the root of
      #   the Rails application, or the working directory.
      def yaml_path
        root = defined?(::Rails) && ::Rails.respond_to?(:root) && ::Rails.root ? ::Rails.root : Dir.pwd
        File.join(root, "config", "tasker", "tasks", "#{task_name}.yaml")
      end

      # @return [TaskerCore::TaskTemplate]
      # @raise [TaskerCore::InvalidTemplate] the message begins with the file
      # @raise [TaskerCore::HandlerNotFound]
      def task_template
        @task_template ||= checked(read).tap do |template|
          HandlerFactory.instance.register(template.name, self, namespace_name: template.namespace,
                                                                version: template.version, replace: true)
        end
      end

      private

      def task_class(name, file)
        name.safe_constantize
      rescue StandardError, ScriptError => e
        problem = TaskerCore::HandlerRegistry.unloadable(e)
        raise TaskerCore::HandlerNotFound.new("#{file}: task handler class #{name} #{problem}",
                                              details: { "file" => file })
      end

      # A schema in the file comes before the one of the class.
      def read
        template = TaskerCore::TaskTemplate.load_file(yaml_path.to_s)
        schema = allocate.schema unless template.definition["schema"]
        return template unless schema

        TaskerCore::TaskTemplate.new({ **template.definition, "schema" => schema }, source: template.source)
      end
    end

    # @raise [TaskerCore::InvalidTemplate]
    def initialize
      TaskerCore.registry.add([self.class.task_template])
    end
  end
end
