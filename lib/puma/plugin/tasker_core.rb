# frozen_string_literal: true

require "puma/plugin"
require_relative "../../tasker_core/internal/puma_worker"
require_relative "../../tasker_core/internal/worker_options"

# The web server, with what the plugin adds.
module Puma
  # What config/puma.rb can say.
  class DSL
    # Options of the workers in Puma's processes; those of config/tasker.yml are for these and all others.
    #
    # @param options [Hash{Symbol => Object}] as {TaskerCore::Worker#initialize} takes them
    # @return [void]
    # @raise [TaskerCore::ConfigurationError] an unknown option or a value that is not allowed
    # @example
    #   plugin :tasker_core
    #   tasker_worker concurrency: 2, queues: ["mail"]
    def tasker_worker(**options)
      TaskerCore::Internal::WorkerOptions.new(**options)
      @options[:tasker_worker] = options
    end
  end
end

# `plugin :tasker_core`: a worker in each process of Puma that serves requests (docs/rails.md). The library itself is
# not loaded here: it has to find the application's Rails.
Puma::Plugin.create do
  def start(launcher)
    log = launcher.respond_to?(:log_writer) ? launcher.log_writer : launcher.events
    options = launcher.options
    worker = TaskerCore::Internal::PumaWorker.new(options[:tasker_worker] || {},
                                                  cluster: options[:workers].to_i.positive?) do |line|
      log.log("* tasker_core: #{line}")
    end
    launcher.events.register(:state) { |state| worker.follow(state) }
  end
end
