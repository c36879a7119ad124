# frozen_string_literal: true

# What a customer has paid.
class Payment < ActiveRecord::Base
  belongs_to :order
end
