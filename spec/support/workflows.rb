# frozen_string_literal: true

require "logger"

# For examples that run workflows: the library uses the example's database (metadata `:database`), and afterwards
# neither a connection nor a template of the example is left.
#
# @example
#   RSpec.describe "a workflow", :database do
#     include Workflows
#
#     it "completes" do
#       handler("Greet") { |task| task.context["name"] }
#       TaskerCore.define("greeting") { step "greet", handler: "Greet" }
#       expect(run("greeting", context: { name: "Ada" }).results_of("greet")).to eq("Ada")
#     end
#   end
module Workflows
  # Seconds that a workflow of a few quick steps may take on a busy machine.
  PATIENCE_SECONDS = 30
  # Options of workers that make specs quick.
  QUICK = { concurrency: 2, heartbeat_interval: 0.1 }.freeze
  # Retries without a noticeable pause.
  RETRY_AT_ONCE = { backoff: "fixed", base_seconds: 0.01, max_seconds: 0.01, jitter: 0.0 }.freeze

  def self.included(base)
    base.before { use_database(database_url) }
    base.after do
      TaskerCore.registry.clear
      TaskerCore.client.close
    end
  end

  # @param url [String]
  # @return [void]
  def use_database(url)
    TaskerCore.configure do |c|
      c.database_url = url
      c.logger = Logger.new(File::NULL)
    end
  end

  # Defines a handler class for the time of the example.
  #
  # @param name [String]
  # @yield [task, sequence, step] what `process` does; in a thread of the worker, with the example as self
  # @return [Class]
  def handler(name, &process)
    stub_const(name, Class.new(TaskerCore::StepHandler::Base) do
      define_method(:process) { |task, sequence, step| process.call(task, sequence, step) }
    end)
  end

  # Defines a template of one step, "only", with a handler of its own.
  #
  # @param options [Hash] of the step
  # @return [TaskerCore::TaskTemplate]
  def define_one(name = "one", **options, &process)
    handler("OnlyHandler", &process)
    TaskerCore.define(name) { step "only", handler: "OnlyHandler", retry: RETRY_AT_ONCE, **options }
  end

  # Runs a worker during the block.
  #
  # @param options [Hash] of the worker
  # @yieldparam worker [TaskerCore::Worker]
  # @return [Object] what the block returned
  def working(**options)
    worker = TaskerCore::Worker.new(**QUICK, **options).start
    yield worker
  ensure
    worker&.stop!
    worker&.wait
  end

  # Submits a task and works until it is settled.
  #
  # @return [TaskerCore::TaskResult]
  def run(name, worker: {}, **submission)
    task_id = TaskerCore.submit(name, **submission)
    working(**worker) { TaskerCore.wait(task_id, timeout: PATIENCE_SECONDS) }
    TaskerCore.result(task_id)
  end

  # @return [Integer] number of rows in a table
  def count(table)
    sql("SELECT count(*) FROM #{table}").first.fetch("count").to_i
  end
end
