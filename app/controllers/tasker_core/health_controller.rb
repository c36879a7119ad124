# frozen_string_literal: true

module TaskerCore
  # Whether the database can be reached, and has the tables that this version of the library works with.
  class HealthController < ApplicationController
    # 200 where all is well, else 503.
    def show
      render json: { status: "ok", schema_version: TaskerCore.client.schema_version, workers: working }
    rescue Error => e
      render json: { status: "unavailable", error: { code: e.code, message: e.message } }, status: :service_unavailable
    end

    private

    def working
      TaskerCore.client.workers.count { |worker| %w[running draining].include?(worker["state"]) }
    end
  end
end
