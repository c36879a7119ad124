# frozen_string_literal: true

# Pushes the first jobs of all tasks in bulk, as bin/bench tells it: reads its order, says that it is ready, reads one
# more line to begin, and says how many jobs it pushed, in how many seconds.

require "json"
require_relative "sidekiq_job"

order = JSON.parse(gets || exit)
Sidekiq.configure_client { |config| config.redis = { url: order.fetch("url") } }
Sidekiq.redis(&:ping)
first = order.fetch("parents").select { |_, parents| parents.empty? }.keys
jobs = Array.new(order.fetch("tasks")) { |task| first.map { |step| [task, step] } }.flatten(1)
$stdout.sync = true
puts JSON.generate("ready" => true)
exit unless gets

began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
Bench::SidekiqJob.perform_bulk(jobs)
seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
puts JSON.generate("executions" => jobs.size, "seconds" => seconds)
