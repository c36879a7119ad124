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
        With --idempotency-key or --unique there is one task however often it is submitted: see docs/idempotency.md.
        With --wait the exit status is 0 only when the task completed in time.
      TEXT
      EXAMPLES = [
        "tasker submit order_fulfilment --context '{\"order_id\": 42}'",
        "tasker submit order_fulfilment --context @order.json --wait --timeout 60",
        "tasker submit order_fulfilment --context @order.json --idempotency-key order-42 --deadline 86400",
        "jq .order today.json | tasker submit order_fulfilment --context - --json"
      ].freeze

      # Submits a task of the template.
      #
      # @param name [String] the template's name
      # @return [Integer] exit status
      def call(name)
        check_timeout
        context = JsonArgument.new("--context", options.fetch(:context, "{}")).read_object(input)
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
        define_limits(parser)
        define_identity(parser)
        parser.on("--priority N", Integer, "tasks with a lower one are claimed first, -32768 to 32767",
                  "(default: the template's)")
        parser.on("--correlation-key KEY", "what tasker signal --key finds the task by")
        parser.on("--wait", "wait until the task is over or blocked (default: return at once)")
        parser.on("--timeout S", Float, "with --wait: seconds to wait (default: for ever)")
        require_option(parser)
        json_option(parser)
      end

      def define_limits(parser)
        parser.on("--deadline S", Float, "seconds in which the task has to end, else it is cancelled",
                  "(default: the template's)")
        parser.on("--max-attempts N", Integer, "attempts of all its steps together (default: the template's)")
        parser.on("--max-cost X", Float, "what they spend together (default: the template's)")
      end

      def define_identity(parser)
        parser.on("--idempotency-key KEY", "what the task is known by: it is made once for this key")
        parser.on("--unique", "the task is known by its context")
        parser.on("--unique-for S", Float, "with one of these: seconds in which another submit counts as the same",
                  "(default: as long as the task is kept)")
        parser.on("--on-duplicate return|raise", Internal::Identity::ON_DUPLICATE,
                  "with one of these: when the task is there already (default: return it)")
      end

      def check_timeout
        timeout = options[:timeout] or return
        refuse("--timeout needs --wait") unless options[:wait]
        refuse("--timeout must be a number of seconds from 0, got #{timeout}") unless timeout.finite? && timeout >= 0
      end

      def submit(client, name, context)
        existing = false
        task_id = client.submit(name, context: context, initiator: actor, source_system: "tasker submit",
                                      **template_options, **identity_options) { existing = true }
        options[:wait] ? wait_for(client, task_id, existing) : tell(task_id, existing)
      end

      def template_options
        budget = { attempts: options[:"max-attempts"], cost: options[:"max-cost"] }.compact
        more = { budget: (budget if budget.any?), correlation_key: options[:"correlation-key"] }.compact
        { **options.slice(:namespace, :version, :reason, :deadline, :priority), **more }
      end

      def identity_options
        options.slice(:"idempotency-key", :unique, :"unique-for", :"on-duplicate")
               .transform_keys { |name| name.to_s.tr("-", "_").to_sym }
      end

      def tell(task_id, existing)
        return show_json(existing, "task_id" => task_id) if json?

        output.line(existing ? "task #{task_id} was submitted before" : "task #{task_id} submitted")
        OK
      end

      def show_json(existing, fields)
        output.json(fields.merge("existing" => existing))
        OK
      end

      def wait_for(client, task_id, existing)
        output.note("tasker: task #{task_id} was submitted before") if existing && !json?
        progress = Progress.new(output, title: "task #{task_id}", quiet: json?)
        status = progress.follow(timeout: options[:timeout]) { client.status(task_id) }
        json? ? show_json(existing, status.to_h) : TaskReport.new(output).show(status)
        status.settled? ? TaskReport.exit_status(status.state) : timed_out(status)
      end

      def timed_out(status)
        waited = Format.duration(options[:timeout])
        output.note("tasker: task #{status.task_id} is #{status.state} after #{waited}; it goes on")
        FAILED
      end
    end
  end
end
