# frozen_string_literal: true

require_relative "command"
require_relative "format"
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
        later get it then. With --key it goes to every task that was submitted with that correlation key and has not
        ended, instead of ID; a task that is submitted later does not get it. JSON may be @FILE, or - for
        the standard input; without it they get null.
      TEXT
      EXAMPLES = [
        "tasker signal 42 approved '{\"by\": \"mara\"}'",
        "tasker signal 42 invoice_paid @payment.json --idempotency-key payment-7",
        "tasker signal --key order-7 order_paid '{\"amount\": 5}'"
      ].freeze

      # Sends the signal.
      #
      # @param arguments [Array<String>] task id, unless --key is given; name of the signal; JSON, @FILE or -
      # @return [Integer] exit status
      def call(*arguments)
        options[:key] ? to_many(*arguments) : to_one(*arguments)
      end

      private

      def to_one(id, name, payload = "null")
        task_id = id_from(id)
        payload = JsonArgument.new("JSON", payload).read(input)
        signal_id = connected do |client|
          client.signal(task_id, name, payload, actor: actor, idempotency_key: options[:"idempotency-key"])
        end
        show(task_id, name, signal_id)
      end

      def to_many(name, payload = "null")
        payload = payload_of_many(name, payload)
        task_ids = connected do |client|
          client.signal_all(name, payload, key: options[:key], actor: actor,
                                           idempotency_key: options[:"idempotency-key"])
        end
        sent = { "key" => options[:key], "name" => name, "task_ids" => task_ids }
        json? ? output.json(sent) : output.line("sent the signal #{name} to #{Format.count(task_ids.size)} tasks")
        OK
      end

      def payload_of_many(name, payload)
        JsonArgument.new("JSON", payload).read(input)
      rescue UsageError
        id?(name) ? refuse_id(name) : raise
      end

      def check_number_of(arguments)
        return super unless options[:key]

        refuse("missing NAME") if arguments.empty?
        return unless arguments.size > 2

        id?(arguments.first) ? refuse_id(arguments.first) : refuse("unexpected argument #{arguments[2].inspect}")
      end

      def refuse_id(word)
        refuse("unexpected argument #{word.inspect}: --key stands in the place of ID")
      end

      def define_options(parser)
        parser.on("--key KEY", "to every task with this correlation key, instead of ID")
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
