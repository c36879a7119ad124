# frozen_string_literal: true

require "logger"
require "rails"
require "active_job/railtie"
require "active_record/railtie"
require "action_controller/railtie"
require "tasker_core"

# A shop whose orders are fulfilled by a workflow.
module Dummy
  class Application < Rails::Application
    config.load_defaults Rails::VERSION::STRING.to_f
    config.eager_load = Rails.env.production?
    config.cache_classes = !Rails.env.development?
    config.secret_key_base = "of no use to anybody"
    config.hosts.clear
    config.filter_parameters += [:card_number]
    config.active_record.dump_schema_after_migration = ENV["DUMP_SCHEMA"] == "1"
    config.active_record.schema_format = ENV.fetch("SCHEMA_FORMAT", "ruby").to_sym
    config.logger = ActiveSupport::TaggedLogging.new(Logger.new(root.join("log", "#{Rails.env}.log")))
  end
end
