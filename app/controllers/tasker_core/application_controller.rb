# frozen_string_literal: true

module TaskerCore
  # What all pages have in common: who may see them, and what is said when something cannot be shown.
  class ApplicationController < ActionController::Base
    # What to do where nobody may see them.
    HINT = "TaskerCore is mounted without an authenticator, so nobody may see its pages in %<environment>s. Say who " \
           "may in config/initializers/tasker_core.rb, for instance: TaskerCore.configure { |c| c.authenticator = " \
           "->(controller) { controller.request.env[\"warden\"].user&.admin? } }"
    private_constant :HINT

    before_action :authenticate
    rescue_from(NotFound) { |error| refuse(:not_found, error.message) }
    rescue_from(InvalidArgument) { |error| refuse(:bad_request, error.message) }
    rescue_from(DatabaseUnavailable, SchemaMismatch) { |error| refuse(:service_unavailable, error.message) }

    private

    def authenticate
      authenticator = TaskerCore.configuration.authenticator
      return if authenticator.nil? && Engine::OPEN_ENVIRONMENTS.include?(::Rails.env)
      return refuse(:forbidden, format(HINT, environment: ::Rails.env)) unless authenticator

      allowed = authenticator.call(self)
      refuse(:forbidden, "you may not see this page") unless allowed || performed?
    end

    def refuse(status, message)
      render json: { error: message }, status: status
    end

    # What handlers returned, or said of a failure, without what the application does not log either.
    def filtered(value)
      filter = ActiveSupport::ParameterFilter.new(::Rails.application.config.filter_parameters)
      filter.filter("value" => value).fetch("value")
    end
  end
end
