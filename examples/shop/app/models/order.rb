# frozen_string_literal: true

# What a customer buys; a task of the workflow `checkout` sees to it.
class Order < ActiveRecord::Base
  belongs_to :product
  belongs_to :task, class_name: "TaskerCore::Records::Task", optional: true
  has_many :payments, dependent: :restrict_with_error

  validates :quantity, numericality: { only_integer: true, greater_than: 0 }
  validates :email, presence: true
end
