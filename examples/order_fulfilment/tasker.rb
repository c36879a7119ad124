# frozen_string_literal: true

# What a worker needs for this example:
#
#     tasker work -r examples/order_fulfilment/tasker.rb
#     tasker submit order_fulfilment --context @examples/order_fulfilment/order.json --wait

require_relative "handlers"

TaskerCore.load_templates(File.expand_path("order_fulfilment.yaml", __dir__))
