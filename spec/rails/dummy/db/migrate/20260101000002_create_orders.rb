# frozen_string_literal: true

class CreateOrders < ActiveRecord::Migration[6.1]
  def change
    create_table :orders do |table|
      table.boolean :shipped, null: false, default: false
      table.bigint :task_id
      table.foreign_key :tasker_tasks, column: :task_id, primary_key: :task_id, on_delete: :nullify
    end
  end
end
