# frozen_string_literal: true

require "logger"
require "rails"
require "active_record/railtie"
require "active_job/railtie"
require "action_controller/railtie"
require "action_view/railtie"
require "tasker_core"
require "tasker_core/records"

module Shop
  # A shop whose checkout is a workflow.
  class Application < Rails::Application
    config.root = File.expand_path("..", __dir__)
    config.load_defaults Rails::VERSION::STRING.to_f
    config.eager_load = Rails.env.production?
    config.secret_key_base = ENV.fetch("SECRET_KEY_BASE", "only for an example")
    config.active_job.queue_adapter = :tasker_core
    config.active_record.dump_schema_after_migration = false
    config.filter_parameters += [:email]
    config.log_level = :info
    config.logger = ActiveSupport::TaggedLogging.new(Logger.new($stdout))
  end
end
