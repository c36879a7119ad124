# frozen_string_literal: true

# The tables of the shop, and those of its workflows.
class CreateShop < ActiveRecord::Migration[6.1]
  def up
    TaskerCore::Schema.migrate(connection, version: 1)
    create_products
    create_orders
    create_payments
  end

  def down
    %i[payments orders products].each { |table| drop_table(table) }
    TaskerCore::Schema.migrate(connection, version: 0)
  end

  private

  def create_products
    create_table :products do |table|
      table.string :name, null: false
      table.integer :price_cents, :stock, null: false
    end
    execute("INSERT INTO products (name, price_cents, stock) VALUES ('Lamp', 4900, 10), ('Desk', 39000, 3)")
  end

  def create_orders
    create_table :orders do |table|
      table.references :product, null: false, foreign_key: true
      table.integer :quantity, null: false
      table.string :email, null: false
      table.bigint :task_id
      table.datetime :confirmed_at
    end
  end

  def create_payments
    create_table :payments do |table|
      table.references :order, null: false, foreign_key: true
      table.integer :amount_cents, null: false
      table.string :ordered_from, null: false
    end
  end
end
