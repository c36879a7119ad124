# frozen_string_literal: true

# The one page of the shop.
class OrdersController < ActionController::Base
  before_action { Current.ip = request.remote_ip }
  rescue_from(ActiveRecord::RecordInvalid) { |error| redirect_to root_path, alert: error.message }
  rescue_from(TaskerCore::InvalidTransition) { |error| redirect_to root_path, alert: error.message }

  def index
    @products = Product.order(:id)
    @orders = Order.includes(:product, :payments, task: :steps).order(id: :desc)
  end

  # Order and task are both there, or neither is.
  def create
    Order.transaction do
      order = Order.create!(params.require(:order).permit(:product_id, :quantity, :email))
      order.update!(task_id: TaskerCore.submit("checkout", context: { order: order }))
    end
    redirect_to root_path
  end

  def approve
    TaskerCore.approve(Order.find(params[:id]).task_id, "approval", by: "the manager")
    redirect_to root_path
  end
end
