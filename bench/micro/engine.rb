# frozen_string_literal: true

require "json"
require "logger"
require "pg"
require "tasker_core"
require_relative "../../spec/support/waiting"
require_relative "../../spec/support/test_server"

module Micro
  # The handler of every micro bench: it does nothing.
  class Nothing < TaskerCore::StepHandler::Base
    # What it returns.
    OUTPUT = { "ok" => true }.freeze

    def process(_task, _sequence, _step)
      OUTPUT
    end
  end

  # A database of its own, and tasks of one step in it.
  class Engine
    # Tasks submitted in one request.
    SLICE = 5_000
    # What each task is submitted with.
    CONTEXT = { "order_id" => 7 }.freeze
    # Seconds in which all must be done.
    PATIENCE_SECONDS = 300

    # @return [TaskerCore::TaskTemplate]
    def self.template
      @template ||= TaskerCore.define("nothing") { step "only", handler: "Micro::Nothing" }
    end

    # @yieldparam engine [Engine]
    # @return [Object] what the block returns; the database is gone then
    # @example
    #   Micro::Engine.open { |engine| engine.submit(100) }
    def self.open
      name = TestServer.create_database
      TaskerCore.configure do |configuration|
        configuration.database_url = TestServer.url_of(name)
        configuration.logger = Logger.new($stderr, level: :warn)
      end
      yield new
    ensure
      TaskerCore.client.close if name
      TestServer.drop_database(name) if name
      TestServer.stop
    end

    # @param steps [Integer] how many tasks of one step
    # @return [void]
    def submit(steps)
      Array.new(steps) { CONTEXT }.each_slice(SLICE) do |contexts|
        TaskerCore.submit_all(self.class.template.name, contexts: contexts)
      end
    end

    # The native part of a worker, without threads that execute steps.
    #
    # @yieldparam native [TaskerCore::Internal::Bridge::Worker]
    # @return [Object] what the block returns
    def native_worker(threads)
      options = TaskerCore::Internal::WorkerOptions.new(concurrency: threads)
      native = TaskerCore::Internal::Bridge::Worker.start(
        options.native_json(TaskerCore.configuration.database_url, TaskerCore.configuration)
      )
      yield native
    ensure
      native&.stop(0)
    end

    # @param steps [Integer] how many must have been completed in all
    # @yieldreturn [Integer] how many are
    # @return [void]
    # @raise [RuntimeError] they are not
    def await(steps)
      Waiting.wait_until("#{steps} steps are complete", within: PATIENCE_SECONDS) { yield >= steps }
    end

    # @param steps [Integer] how many tasks of one step were submitted in all
    # @return [void]
    # @raise [RuntimeError] not each of them was executed once, or the database contradicts itself
    def check(steps)
      counts = executed
      expected = { "tasks" => steps.to_s, "complete" => steps.to_s, "attempts" => steps.to_s }
      raise "executed #{counts}, expected #{expected}" if counts != expected

      wrong = TaskerCore.doctor["checks"].reject { |check| check["ok"] }
      raise "doctor found: #{wrong}" if wrong.any?
    end

    private

    def executed
      connection = PG.connect(TaskerCore.configuration.database_url)
      connection.exec(<<~SQL).first
        SELECT count(*) AS tasks, count(*) FILTER (WHERE state = 'complete') AS complete,
               (SELECT count(*) FROM tasker_attempts WHERE outcome = 'succeeded') AS attempts
        FROM tasker_tasks
      SQL
    ensure
      connection&.close
    end
  end
end
