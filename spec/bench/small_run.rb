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
  # @param settings [Bench::Settings]
  # @return [Array<Integer>] their ids
  def submit(url, settings = SETTINGS)
    TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = url }) do |client|
      client.register(settings.workload.template(settings.steps))
      client.submit_all(settings.workload.template_name, contexts: Array.new(settings.tasks) { {} })
    end
  end

  # Executes them.
  #
  # @param url [String] of the database
  # @param settings [Bench::Settings]
  # @return [Bench::Fleet::Summary]
  def execute(url, settings = SETTINGS)
    Bench::Fleet.open(settings, url) do |fleet|
      fleet.begin
      fleet.wait_for(settings.total_steps)
      fleet.stop
    end
  end

  # Makes and executes them.
  #
  # @param url [String] of the database
  # @return [Bench::Fleet::Summary]
  def drain(url)
    submit(url)
    execute(url)
  end
end
