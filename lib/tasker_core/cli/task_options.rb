# frozen_string_literal: true

require_relative "age"
require_relative "../internal/bridge"

module TaskerCore
  class CLI
    # Options that say which tasks are meant, for commands.
    module TaskOptions
      private

      def task_options(parser)
        parser.on("--state STATE", Internal::Bridge::TASK_STATES, "only tasks in this state (default: any)")
        parser.on("--name NAME", "only tasks of templates of this name (default: any)")
        parser.on("--namespace NAME", "only tasks of this namespace (default: any)")
        parser.on("--version VERSION", "only tasks of templates of this version (default: any)")
        parser.on("--tag TAG", "only tasks with this tag; may be given again") { |tag| [*options[:tag], tag] }
      end

      def older_than_option(parser)
        parser.on("--older-than AGE", "only tasks that were requested longer ago than this,", "such as 7d")
      end

      def task_filter
        filter = options.slice(:state, :name, :namespace, :version)
        filter[:tags] = options[:tag] if options[:tag]
        text = options[:"older-than"]
        text ? filter.merge(older_than: Age.seconds("--older-than", text)) : filter
      end
    end
  end
end
