# frozen_string_literal: true

# Tells the customer. The arguments are those of the task's context.
class ConfirmationJob < ActiveJob::Base
  def perform(order:)
    logger.info("mail for order #{order.id}: thank you for #{order.quantity} × #{order.product.name}")
    order.update!(confirmed_at: Time.current)
  end
end
