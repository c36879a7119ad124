# frozen_string_literal: true

# What a worker needs for this example:
#
#     tasker work -r examples/purchase/tasker.rb
#     tasker submit purchase --context '{"item": "chair", "price_cents": 12900}'
#     tasker approve 1 manager_approval --by mara --comment 'within budget'

require "tasker_core"

# The work of the step in purchase.yaml that is no approval.
module Purchase
  # Orders what was approved.
  class PlaceOrder < TaskerCore::StepHandler::Base
    # @return [Hash] the order
    def process(task, sequence, step)
      decision = sequence.results_of("manager_approval")
      { "item" => task.context.fetch("item"), "order" => step.idempotency_key, "approved_by" => decision.fetch("by") }
    end
  end
end

TaskerCore.load_templates(File.expand_path("purchase.yaml", __dir__))
