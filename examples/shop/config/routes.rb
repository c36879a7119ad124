# frozen_string_literal: true

Rails.application.routes.draw do
  root "orders#index"
  resources :orders, only: :create do
    post :approve, on: :member
  end
  mount TaskerCore::Engine => "/tasker"
end
