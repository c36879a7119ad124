# frozen_string_literal: true

class CreateTaskerCore < ActiveRecord::Migration[6.1]
  def up
    TaskerCore::Schema.migrate(connection, version: 1)
  end

  def down
    TaskerCore::Schema.migrate(connection, version: 0)
  end
end
