# frozen_string_literal: true

# What is at hand during a request.
class Current < ActiveSupport::CurrentAttributes
  attribute :user, :order
end
