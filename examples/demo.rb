# frozen_string_literal: true

# The program behind bin/demo: a database, a worker process, an order that is fulfilled in spite of a card network
# that fails twice, a graph of about a thousand steps, and what became of them.

# The card network of the example does not fail in production.
ENV["TASKER_ENV"] = "development"
$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "pathname"
require "tasker_core/cli"
require_relative "large_graph/shapes"
require_relative "order_fulfilment/tasker"
require_relative "recorded_workflows/document"
require_relative "recorded_workflows/replay"
require_relative "support/demo_database"
require_relative "support/worker_process"

module Examples
  # The main job from beginning to end. Its exit status is 0 only when all of it really completed.
  class Demo
    # Edge of the graph: 17 tiles are 969 steps.
    TILES = 17
    # Handler threads of the worker: they sleep, so there may be more of them than cores.
    THREADS = "12"
    # How much longer than computed each step of the graph takes, so that there is something to watch.
    TIME_SCALE = 1.5
    # Tries of the payment step: two time-outs and a success.
    TRIES = 3
    # Seconds after which a task that is not over counts as stuck.
    TIMEOUT = 300

    ORDER = File.join(__dir__, "order_fulfilment", "order.json")
    LOADED = [File.join(__dir__, "order_fulfilment", "tasker.rb"),
              File.join(__dir__, "recorded_workflows", "replay.rb")].freeze
    Format = TaskerCore::CLI::Format
    HEADER = ["TASK", "TEMPLATE", "STATE", "STEPS", "ATTEMPTS", "WALL TIME", "CRITICAL PATH", "STEPS/S"].freeze

    def initialize(output)
      @output = output
      @database = DemoDatabase.new
      @problems = []
    end

    # @return [Integer] exit status
    def run
      say("starting Postgres in #{@database.postgres.data_folder}")
      @database.open do |url|
        TaskerCore.configure { |config| config.database_url = url }
        TaskerCore::Client.open { |client| run_with(client, url) }
      end
      @problems.each { |problem| @output.note("demo: #{problem}") }
      @problems.empty? ? 0 : 1
    end

    private

    def run_with(client, url)
      @client = client
      say("schema is at version #{client.migrate.fetch("to")}")
      with_worker(url) { |worker| show(worker) }
    end

    def say(text)
      @output.line(@output.style.faint("* #{text}"))
    end

    def with_worker(url)
      log = File.join(@database.postgres.data_folder, "demo-worker.log")
      worker = WorkerProcess.new([*LOADED.flat_map { |file| ["-r", file] }, "-c", THREADS, "--shutdown-timeout", "1"],
                                 database_url: url, log: log)
      worker.start
      say("worker process #{worker.pid} runs #{THREADS} handler threads; it writes to #{log}")
      yield worker
    ensure
      worker&.stop
    end

    def show(worker)
      order = follow(worker, "order", order_task)
      graph = follow(worker, "graph", graph_task)
      summary([order, graph])
      explain(order)
      @output.line("look around: TASKER_DATA_DIR=#{@database.postgres.data_folder} exe/tasker list")
      check(order, graph)
    end

    def order_task
      @client.submit("order_fulfilment", context: JSON.parse(File.read(ORDER)), initiator: "demo")
    end

    def graph_task
      document = RecordedWorkflows::Document.parse(LargeGraph.document("cholesky", tiles: TILES).to_json)
      template = TaskerCore::TaskTemplate.new(document.template(handler: "RecordedWorkflows::Replay"), source: "demo")
      @client.register(template)
      @client.submit(template.name, namespace: template.namespace, version: template.version, initiator: "demo",
                                    context: { "time_scale" => TIME_SCALE, "log" => nil })
    end

    def follow(worker, title, task_id)
      progress = TaskerCore::CLI::Progress.new(@output, title: title)
      progress.follow(timeout: TIMEOUT) do
        worker.check
        @client.status(task_id)
      end
    end

    def summary(statuses)
      @output.line
      @output.table(HEADER, statuses.map { |status| row(status) }, right: [0, 3, 4, 5, 6, 7])
    end

    def row(status)
      seconds = Format.between(status.requested_at, status.finished_at)
      counts = [status.steps_total, status.attempts_total].map { |number| Format.count(number) }
      [status.task_id, "#{status.name} #{status.version}", @output.style.state(status.state), *counts,
       Format.duration(seconds), critical_path(status), Format.count((status.steps_total / seconds).round)]
    end

    def critical_path(status)
      path = @client.result(status.task_id).critical_path
      "#{Format.duration(path[:seconds])} in #{Format.many(path[:names].size, "step")}"
    end

    def explain(order)
      @output.line("\n$ tasker explain #{order.task_id} charge_card")
      command = TaskerCore::CLI::Explain.new(output: @output)
      command.run([order.task_id.to_s, "charge_card"])
      @output.line
    end

    def check(order, graph)
      [order, graph].each do |status|
        demand(all_complete?(status), "task #{status.task_id} (#{status.name}) is not complete: #{status.state}")
      end
      tries = @client.result(order.task_id).step("charge_card").attempts
      demand(tries == TRIES, "charge_card took #{tries} tries, not #{TRIES}")
      demand(graph.attempts_total == graph.steps_total, "the graph took #{graph.attempts_total} attempts")
      demand(@client.doctor.fetch("ok"), "`tasker doctor` found a difference")
    end

    def all_complete?(status)
      status.complete? && status.steps_by_state["complete"] == status.steps_total
    end

    def demand(fulfilled, problem)
      @problems << problem unless fulfilled
    end
  end
end

output = TaskerCore::CLI::Output.new
failure = TaskerCore::CLI::Failure.new(output, debug: ENV["TASKER_DEBUG"] == "1", program: "demo")
exit(failure.guard { Examples::Demo.new(output).run })
