# frozen_string_literal: true

module OrderFulfilment
  # Ships an order, unless it is lost.
  class Ship < TaskerCore::StepHandler::Base
    def process(task, _sequence, _step)
      raise "the parcel is lost" if task.context["lost"]

      Order.find(task.context["order_id"]).update!(shipped: true)
      nil
    end
  end
end
