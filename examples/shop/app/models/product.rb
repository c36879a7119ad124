# frozen_string_literal: true

# What the shop sells.
class Product < ActiveRecord::Base
end
