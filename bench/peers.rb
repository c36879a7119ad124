# frozen_string_literal: true

require_relative "engine/workload"
require_relative "peers/apalis"
require_relative "peers/sidekiq"

module Bench
  # Engines that are measured beside ours.
  module Peers
    # By name.
    ALL = [Sidekiq, Apalis].to_h { |peer| [peer.title, peer] }.freeze
    # Names of the workloads that they can do: graphs that are executed from begin to end.
    WORKLOADS = Workload::ALL.select { |workload| workload.measured == :drain }.map(&:name).freeze
  end
end
