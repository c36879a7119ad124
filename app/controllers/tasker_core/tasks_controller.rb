# frozen_string_literal: true

module TaskerCore
  # Tasks as JSON: the newest ones, and one with its steps.
  class TasksController < ApplicationController
    # Parameters by which tasks are chosen.
    FILTER = %w[state name namespace version].freeze
    private_constant :FILTER

    # The newest tasks, as {TaskerCore.list}. `limit` and `before` page.
    def index
      numbers = params.permit(:limit, :before).to_h.transform_values do |text|
        Integer(text, 10, exception: false) || text
      end
      chosen = params.permit(*FILTER).to_h
      tasks = TaskerCore.list(**numbers.symbolize_keys, **chosen.symbolize_keys)
      render json: { tasks: tasks.map(&:to_h) }
    end

    # One task with its steps, what they returned and why the task is where it is.
    def show
      id = Integer(params[:id], 10, exception: false) || params[:id]
      result = TaskerCore.result(id)
      steps = result.steps.map { |step| { **step.to_h, results: filtered(step.results), error: error_of(step) } }
      render json: TaskerCore.status(id).to_h.merge(steps: steps, explanation: TaskerCore.explain(id)["summary"])
    end

    private

    def error_of(step)
      step.error && { **step.error, "context" => filtered(step.error["context"]) }.compact
    end
  end
end
