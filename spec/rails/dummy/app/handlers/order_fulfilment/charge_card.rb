# frozen_string_literal: true

module OrderFulfilment
  # Charges a card.
  class ChargeCard < TaskerCore::StepHandler::Base
    def process(task, _sequence, _step)
      order = Order.find(task.context["order_id"])
      Rails.logger.info("charging order #{order.id}")
      { "charge_id" => "ch_#{order.id}", "card_number" => "4242" }
    end
  end
end
