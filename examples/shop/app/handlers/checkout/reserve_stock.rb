# frozen_string_literal: true

module Checkout
  # Takes what is ordered out of the stock, once: in one transaction with the end of the step.
  class ReserveStock < TaskerCore::StepHandler::Base
    self.transactional = true

    def process(task, _sequence, _step)
      order = task.context["order"]
      product = order.product.lock!
      refuse(product) if product.stock < order.quantity

      product.update!(stock: product.stock - order.quantity)
      { "total_cents" => order.quantity * product.price_cents }
    end

    private

    def refuse(product)
      raise TaskerCore::PermanentError.new("#{product.stock} of #{product.name} are left", error_code: "SOLD_OUT")
    end
  end
end
