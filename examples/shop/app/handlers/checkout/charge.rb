# frozen_string_literal: true

module Checkout
  # Books the payment, once: in one transaction with the end of the step.
  class Charge < TaskerCore::StepHandler::Base
    self.transactional = true

    def process(task, sequence, _step)
      amount = sequence.results_of("reserve_stock")["total_cents"]
      { "payment" => task.context["order"].payments.create!(amount_cents: amount, ordered_from: Current.ip) }
    end
  end
end
