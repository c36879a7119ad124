# frozen_string_literal: true

# What a customer buys.
class Order < ActiveRecord::Base
end
