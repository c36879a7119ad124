# frozen_string_literal: true

require "json"
require_relative "command"
require_relative "json_argument"
require_relative "loader"
require_relative "progress"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker submit`: starts a task, and waits for it when asked to.
    class Submit < Command
      NAME = "submit"
      SUMMARY = "submit a task"
      ARGUMENTS = %w[NAME].freeze
      DETAILS = <<~TEXT
        NAME is a template that a worker has registered or that -r loads. The context is checked against the
        template's schema first: what does not fit is refused and nothing is written.
        With --wait the exit status is 0 only when the task completed in time.
      TEXT
      EXAMPLES = [
        "tasker submit order_fulfilment --context '{\"order_id\": 42}'",
        "tasker submit order_fulfilment --context @order.json --wait --timeout 60",
        "jq .order today.json | tasker submit order_fulfilment --context - --json"
      ].freeze

      # Submits a task of the template.
      #
      # @param name [String] the template's name
      # @return [Integer] exit status
      def call(name)
        check_timeout
        context = context_from(options.fetch(:context, "{}"))
        Loader.load(options.fetch(:require, []))
        connected { |client| submit(client, name, context) }
      end

      private

      def define_options(parser)
        parser.on("--context JSON|@FILE|-", "the task's context: JSON, a file, or standard input",
                  "(default: {})")
        parser.on("--namespace NAME", "namespace of the template (default: default)")
        parser.on("--version VERSION", "version of the template (default: the latest)")
        reason_option(parser)
        parser.on("--wait", "wait until the task is over or blocked (default: return at once)")
        parser.on("--timeout S", Float, "with --wait: seconds to wait (default: for ever)")
        require_option(parser)
        json_option(parser)
      end

      def check_timeout
        timeout = options[:timeout] or return
        refuse("--timeout needs --wait") unless options[:wait]
        refuse("--timeout must be a number of seconds from 0, got #{timeout}") unless timeout.finite? && timeout >= 0
      end

      def context_from(argument)
        context = JsonArgument.new("--context", argument).read(input)
        return context if context.is_a?(Hash)

        refuse("--context must be a JSON object, got #{Format.cut(JSON.generate(context), 60)}")
      end

      def submit(client, name, context)
        task_id = client.submit(name, context: context, initiator: actor, source_system: "tasker submit",
                                      **options.slice(:namespace, :version, :reason))
        options[:wait] ? wait_for(client, task_id) : tell(task_id)
      end

      def tell(task_id)
        json? ? output.json("task_id" => task_id) : output.line("task #{task_id} submitted")
        OK
      end

      def wait_for(client, task_id)
        progress = Progress.new(output, title: "task #{task_id}", quiet: json?)
        status = progress.follow(timeout: options[:timeout]) { client.status(task_id) }
        json? ? output.json(status.to_h) : TaskReport.new(output).show(status)
        return TaskReport.exit_status(status.state) if status.settled?

        waited = Format.duration(options[:timeout])
        output.note("tasker: task #{task_id} is #{status.state} after #{waited}; it goes on")
        FAILED
      end
    end
  end
end
