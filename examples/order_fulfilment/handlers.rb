# frozen_string_literal: true

require "tasker_core"

# The work of the steps in order_fulfilment.yaml. Each class does one thing; what order they run in, what is
# tried again and what is kept is the template's and the engine's affair.
module OrderFulfilment
  # Adds up the order. A broken rule is permanent: trying again would not change it.
  class ValidateOrder < TaskerCore::StepHandler::Base
    # @return [Hash] the total, for the steps that follow
    # @raise [TaskerCore::PermanentError] the order costs more than `limit_cents` of the step's configuration
    def process(task, _sequence, step)
      items = task.context.fetch("items")
      total = items.sum { |item| item["quantity"] * item["price_cents"] }
      check_limit(total, step.config.fetch("limit_cents"))
      { "total_cents" => total, "units" => items.sum { |item| item["quantity"] } }
    end

    private

    def check_limit(total, limit)
      return if total <= limit

      raise TaskerCore::PermanentError.new("order of #{total} cents is above the limit of #{limit} cents",
                                           error_code: "ORDER_TOO_LARGE")
    end
  end

  # Puts the goods aside.
  class ReserveInventory < TaskerCore::StepHandler::Base
    # @return [Hash] a reservation for each kind of goods
    def process(task, _sequence, _step)
      order = task.context.fetch("order_id")
      { "reservations" => task.context.fetch("items").map { |item| "#{order}-#{item["sku"]}" } }
    end
  end

  # Takes the money. The network times out on the first tries, as networks do; the idempotency key is the same on
  # each try, so a payment service that saw the first one does not charge twice.
  class ChargeCard < TaskerCore::StepHandler::Base
    # @return [Hash] the payment service's answer
    # @raise [TaskerCore::RetryableError] the network did not answer; tried again after the template's backoff
    def process(task, sequence, step)
      if step.attempt <= step.config.fetch("timeouts")
        raise TaskerCore::RetryableError, "card network did not answer (try #{step.attempt})"
      end

      { "amount_cents" => sequence.results_of("validate_order").fetch("total_cents"),
        "card_token" => task.context.fetch("card_token"), "reference" => step.idempotency_key }
    end

    # Keeps the answer without the card's token, which has no place in a history.
    def process_results(step, output, _initial)
      step.results = output.except("card_token")
    end
  end

  # Hands the parcel to the carrier.
  class ShipOrder < TaskerCore::StepHandler::Base
    # @return [Hash] the carrier's tracking number
    def process(task, sequence, _step)
      parcels = sequence.results_of("reserve_inventory").fetch("reservations").size
      { "tracking_number" => Kernel.format("TRK-%08d", task.context.fetch("order_id")), "parcels" => parcels }
    end
  end

  # Writes to the customer.
  class NotifyCustomer < TaskerCore::StepHandler::Base
    # @return [Hash] the message as it was sent
    def process(task, sequence, _step)
      customer = task.context.fetch("customer")
      tracking = sequence.results_of("ship_order").fetch("tracking_number")
      { "to" => customer.fetch("email"), "subject" => "Dear #{customer.fetch("name")}, it is on its way: #{tracking}" }
    end
  end
end
