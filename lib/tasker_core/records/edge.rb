# frozen_string_literal: true

module TaskerCore
  module Records
    # An edge between two steps of a task, as the view `tasker_edge_overview` has it. Associations: `from_step` and
    # `to_step`.
    #
    # @example
    #   Edge.where(task_id: 42).pluck(:from_step_name, :to_step_name) # => [["validate_order", "charge_card"]]
    class Edge < Base
      self.table_name = "tasker_edge_overview"

      belongs_to :from_step, class_name: "TaskerCore::Records::Step", inverse_of: :outgoing_edges
      belongs_to :to_step, class_name: "TaskerCore::Records::Step", inverse_of: :incoming_edges
    end
  end
end
