# frozen_string_literal: true

require "open3"
require "rbconfig"
require_relative "job_fleet"
require_relative "peer"
require_relative "redis_server"

module Bench
  # Engines that are measured beside ours.
  module Peers
    # Sidekiq on a Redis of its own: the `sidekiq` command with its defaults.
    class Sidekiq < Peer
      # Installs what it needs, or says what to install.
      SETUP = [File.expand_path("../../bin/setup", __dir__), "--quiet", "--no-compile", "--sidekiq"].freeze

      # The processes that execute jobs.
      class Workers < JobFleet
        private

        def program
          [RbConfig.ruby, Gem.bin_path("sidekiq", "sidekiq"), "--require", File.join(__dir__, "sidekiq_worker.rb"),
           "--concurrency", @settings.concurrency.to_s, "--environment", "production"]
        end
      end

      class << self
        # @return [String] its name in the report
        def title
          "sidekiq"
        end

        # Sees to what it needs.
        #
        # @return [void]
        # @raise [TaskerCore::InternalError] something is missing, and may not be installed by this user
        def prepare
          said, status = Open3.capture2e(*SETUP)
          raise TaskerCore::InternalError, said.strip unless status.success?

          Gem.refresh
        end

        # @return [String]
        def version
          Gem::Specification.find_by_name("sidekiq").version.to_s
        end

        # @return [Boolean] whether a job that is acknowledged survives a crash of the machine
        def durable?
          false
        end
      end

      private

      def with_store(&block)
        RedisServer.open(&block)
      end

      def fleet
        Workers
      end

      def creator
        [RbConfig.ruby, File.join(__dir__, "sidekiq_creator.rb")]
      end
    end
  end
end
