# frozen_string_literal: true

require "json"
require_relative "../handler_registry"
require_relative "../internal/json_text"
require_relative "../step_handler/approval"

module TaskerCore
  class Client
    # Signals to tasks, for the handlers that wait for them.
    module Signals
      # Sends a signal to a task. It is kept as long as the task, and the same for every step that asks for it: one that
      # waits for it begins anew at once, one that asks for it later gets it then.
      #
      # @param task_id [Integer]
      # @param name [String, Symbol] 1 to 128 bytes
      # @param payload [Object, nil] what JSON can say, within the limits of contexts. Default nil.
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param idempotency_key [String, nil] 1 to 256 bytes: a signal that was sent to the task with it before is not
      #   sent again, and one whose answer is lost is tried again. Default nil.
      # @return [Integer] the signal's id
      # @raise [NotFound]
      # @raise [InvalidTransition] the task is over
      # @raise [InvalidArgument]
      # @raise [InvalidContext] the payload is no JSON, or too large
      # @example
      #   client.signal(1, "approved", { by: "mara" }, idempotency_key: "mail-4711") # => 12
      def signal(task_id, name, payload = nil, actor: nil, idempotency_key: nil)
        send_signal(task_id, payload, "name" => Internal::Check.text(name, "name"),
                                      "actor" => Internal::Check.optional_text(actor, "actor") || this_process,
                                      "idempotency_key" => Internal::Check.optional_text(idempotency_key,
                                                                                         "idempotency_key"))
      end

      # Sends a signal to every task that was submitted with a correlation key and has not ended, each in a transaction
      # of its own. A task that is submitted later does not get it. After an error those that came before have got it:
      # with an idempotency key the call can be repeated.
      #
      # @param name [String, Symbol] 1 to 128 bytes
      # @param payload [Object, nil] as for {#signal}. Default nil.
      # @param key [String] the correlation key
      # @param actor [String, nil] who, for the record. Default nil: this process, by its id and host.
      # @param idempotency_key [String, nil] as for {#signal}, for each of the tasks. Default nil.
      # @return [Array<Integer>] ids of the tasks that have got it, now or by an earlier call with the idempotency key
      # @raise [InvalidArgument]
      # @raise [InvalidContext] the payload is no JSON, or too large
      # @example
      #   client.signal_all("order_paid", { amount: 5 }, key: "order-7", idempotency_key: "payment-3") # => [1, 4]
      def signal_all(name, payload = nil, key:, actor: nil, idempotency_key: nil)
        key = Internal::Check.text(key, "key")
        correlated(key).select do |task_id|
          signal(task_id, name, payload, actor: actor, idempotency_key: idempotency_key)
        rescue InvalidTransition, NotFound
          # It ended meanwhile.
          false
        end
      end

      # Approves what a step with {StepHandler::Approval} waits for, or one that waits for the signal of its name. What
      # was decided first counts.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol] its name
      # @param by [String] who approves
      # @param comment [String, nil] Default nil.
      # @return [Integer] id of the signal
      # @raise [NotFound]
      # @raise [InvalidTransition] the task or the step is over, or was decided before; says by whom and when
      # @raise [InvalidArgument] the task has no such step, or the step waits for no decision
      # @example
      #   client.approve(1, "manager_approval", by: "mara", comment: "within budget")
      def approve(task_id, step, by:, comment: nil)
        decide(task_id, step, true, by, comment)
      end

      # Rejects what a step with {StepHandler::Approval} waits for, or one that waits for the signal of its name: the
      # step ends in error. What was decided first counts.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol] its name
      # @param by [String] who rejects
      # @param comment [String, nil] Default nil.
      # @return [Integer] id of the signal
      # @raise [NotFound]
      # @raise [InvalidTransition] the task or the step is over, or was decided before; says by whom and when
      # @raise [InvalidArgument] the task has no such step, or the step waits for no decision
      # @example
      #   client.reject(1, "manager_approval", by: "mara", comment: "too expensive")
      def reject(task_id, step, by:, comment: nil)
        decide(task_id, step, false, by, comment)
      end

      private

      # Tasks with the key that have not ended, a page at a time.
      def correlated(key)
        Enumerator.new do |tasks|
          after = 0
          until (page = parse(native.correlated_tasks(key, after))).empty?
            page.each { |task_id| tasks << task_id }
            after = page.last
          end
        end
      end

      def decide(task_id, step, approved, by, comment)
        by = Internal::Check.text(by, "by")
        comment = Internal::Check.optional_text(comment, "comment")
        send_signal(task_id, { "approved" => approved, "by" => by, "comment" => comment },
                    "name" => Internal::Check.text(step, "step"), "actor" => by,
                    "approval_handlers" => HandlerRegistry.kinds_of(StepHandler::Approval))
      end

      # Passes on what carries a payload.
      def send_signal(task_id, payload, signal)
        id = Internal::Check.id(task_id)
        json = Internal::JsonText.new(symbols: true).generate(payload, what: "payload")
        native.signal(id, "#{JSON.generate(signal).delete_suffix("}")},\"payload\":#{json}}")
      end
    end
  end
end
