# frozen_string_literal: true

module OrderFulfilment
  # Ships an order, unless it is lost.
  class Ship < TaskerCore::StepHandler::Base
    def process(task, _sequence, _step)
      lose if task.context["lost"]

      Order.find(task.context["order_id"]).update!(shipped: true)
      nil
    end

    private

    def lose
      Rails.error.report(RuntimeError.new("looking for the parcel")) if Rails.respond_to?(:error)
      raise "the parcel is lost"
    end
  end
end
