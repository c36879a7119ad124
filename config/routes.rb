# frozen_string_literal: true

TaskerCore::Engine.routes.draw do
  get "health", to: "health#show"
  resources :tasks, only: %i[index show]
  root to: "tasks#index"
end
