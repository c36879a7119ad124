# frozen_string_literal: true

require_relative "../../bench/engine/fleet"
require_relative "../../bench/engine/settings"
require_relative "../../bench/engine/workload"

# Two small tasks and a worker process that executes them.
module SmallRun
  SETTINGS = Bench::Settings.new(workload: Bench::Workload.find("diamond"), tasks: 2, steps: 5, concurrency: 2,
                                 processes: 1, handler: "ruby", payload: 0, work: 0).freeze

  # Id of the last step of the first task.
  LAST_STEP = 1_048_580

  module_function

  # Makes the tasks.
  #
  # @param url [String] of the database
  # @return [Array<Integer>] their ids
  def submit(url)
    TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = url }) do |client|
      client.register(SETTINGS.workload.template(SETTINGS.steps))
      client.submit_all(SETTINGS.workload.template_name, contexts: Array.new(SETTINGS.tasks) { {} })
    end
  end

  # Makes and executes them.
  #
  # @param url [String] of the database
  # @return [Bench::Fleet::Summary]
  def drain(url)
    submit(url)
    Bench::Fleet.open(SETTINGS, url) do |fleet|
      fleet.begin
      fleet.wait_for(SETTINGS.total_steps)
      fleet.stop
    end
  end
end
