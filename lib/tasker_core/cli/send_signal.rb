# frozen_string_literal: true

require_relative "command"
require_relative "json_argument"

module TaskerCore
  class CLI
    # `tasker signal`: sends a signal to a task.
    class SendSignal < Command
      NAME = "signal"
      SUMMARY = "send a signal to a task"
      ARGUMENTS = %w[ID NAME [JSON]].freeze
      DETAILS = <<~TEXT
        The steps of the task that wait for a signal of this name begin anew and get the JSON; those that ask for it
        later get it then. JSON may be @FILE, or - for the standard input; without it they get null.
      TEXT
      EXAMPLES = [
        "tasker signal 42 approved '{\"by\": \"mara\"}'",
        "tasker signal 42 invoice_paid @payment.json --idempotency-key payment-7"
      ].freeze

      # Sends the signal.
      #
      # @param id [String] task id
      # @param name [String] of the signal
      # @param payload [String] JSON, @FILE or -
      # @return [Integer] exit status
      def call(id, name, payload = "null")
        task_id = id_from(id)
        payload = JsonArgument.new("JSON", payload).read(input)
        signal_id = connected do |client|
          client.signal(task_id, name, payload, actor: actor, idempotency_key: options[:"idempotency-key"])
        end
        show(task_id, name, signal_id)
      end

      private

      def define_options(parser)
        parser.on("--idempotency-key KEY", "send the signal only once, however often this is called")
        json_option(parser)
      end

      def show(task_id, name, signal_id)
        sent = { "task_id" => task_id, "name" => name, "signal_id" => signal_id }
        json? ? output.json(sent) : output.line("sent the signal #{name} to task #{task_id}")
        OK
      end
    end
  end
end
