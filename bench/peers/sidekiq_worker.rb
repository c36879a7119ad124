# frozen_string_literal: true

# What a `sidekiq` process loads: jobs, and a thread that speaks to bin/bench as bench/engine/ruby_worker.rb does. It
# returns when the process is to begin; when its standard input ends, the process says what it executed and ends.

require "json"
require_relative "../engine/worker_talk"
require_relative "sidekiq_job"

module Bench
  # Tells about the jobs of this process.
  class SidekiqWorker
    include WorkerTalk

    # @param input [IO]
    # @param output [IO]
    def initialize(input:, output:)
      @input = input
      @output = output
      @output.sync = true
    end

    # Returns when jobs are to be executed.
    #
    # @return [void]
    def prepare
      order = @input.gets or exit!(0)
      configure(JSON.parse(order))
      say("ready" => true)
      @input.gets or exit!(0)
      say("begun" => true)
      Thread.new { tell }
    end

    private

    def configure(order)
      @tick = order.fetch("tick_ms") / 1000.0
      SidekiqJob.parents = order.fetch("parents")
      ::Sidekiq.logger.level = Logger::ERROR
      ::Sidekiq.configure_server { |config| config.redis = { url: order.fetch("url") } }
    end

    # Until standard input ends. The process has nothing to do then that it would have to end in order.
    def tell
      tell_progress { JobLog.size }
      say("executions" => JobLog.size, "starts" => JobLog.to_a, "in_order" => true)
      exit!(0)
    end
  end
end

# What Sidekiq itself says must not come between.
output = $stdout.dup
$stdout.reopen($stderr)
Bench::SidekiqWorker.new(input: $stdin, output: output).prepare
