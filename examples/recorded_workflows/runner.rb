# frozen_string_literal: true

require "fileutils"
require "tempfile"
require "tasker_core/cli"
require_relative "../support/worker_process"
require_relative "document"

module RecordedWorkflows
  # The command line `run`: reads the file, starts the workers, submits the task and follows it to its end.
  class Runner < TaskerCore::CLI::Command
    PROGRAM = "examples/recorded_workflows/run"
    SUMMARY = "run a recorded workflow through the engine"
    ARGUMENTS = %w[FILE].freeze
    DETAILS = "README.md beside this program describes the form of the file and of the log."
    EXAMPLES = ["run graph.json --concurrency 20 --time-scale 0.1 --log log.jsonl",
                "run graph.json --processes 2 --time-scale 0"].freeze

    DEFAULTS = { concurrency: 5, processes: 1, "time-scale": 1.0 }.freeze
    # Seconds that the workers wait for running steps: at the end there are none, and those of a cancelled task come
    # to nothing.
    SHUTDOWN_TIMEOUT = "1"
    HANDLER = "RecordedWorkflows::Replay"
    Format = TaskerCore::CLI::Format
    TaskReport = TaskerCore::CLI::TaskReport

    # Runs the workflow of the file.
    #
    # @param file [String]
    # @return [Integer] exit status
    def call(file)
      check_options
      template = template_of(file)
      context = { "time_scale" => option(:"time-scale"), "log" => log_path }
      connected do |client|
        client.migrate
        run_to_the_end(client, template, context)
      end
    end

    private

    def define_options(parser)
      parser.on("--concurrency N", Integer, "handler threads in each process (default: 5)")
      parser.on("--processes P", Integer, "worker processes (default: 1)")
      parser.on("--time-scale F", Float, "sleep runtime_s x F; 0 does not sleep (default: 1)")
      parser.on("--log FILE", "append a line for each executed attempt (default: no log)")
    end

    def option(name)
      options.fetch(name) { DEFAULTS.fetch(name) }
    end

    def check_options
      %i[concurrency processes].each do |name|
        refuse("--#{name} must be a whole number from 1, got #{option(name)}") unless option(name).positive?
      end
      scale = option(:"time-scale")
      refuse("--time-scale must be a number from 0, got #{scale}") unless scale.finite? && !scale.negative?
    end

    def template_of(file)
      definition = Document.read(file).template(handler: HANDLER)
      TaskerCore::TaskTemplate.new(definition, source: file)
    rescue Malformed => e
      raise Malformed, "#{file}: #{e.message}"
    end

    # The log must take lines before anything starts.
    def log_path
      path = options[:log] or return
      File.open(path, "a") { |log| File.expand_path(log.path) }
    rescue SystemCallError => e
      refuse("--log #{path}: #{e.message[/\A[^@]+/].strip}")
    end

    def run_to_the_end(client, template, context)
      with_workers do |workers|
        client.register(template)
        task_id = client.submit(template.name, namespace: template.namespace, version: template.version,
                                               context: context, source_system: "recorded_workflows")
        report(follow(client, task_id, workers))
      end
    end

    def with_workers
      printed = Tempfile.new("worker")
      workers = Examples::WorkerProcess.new(worker_arguments, database_url: TaskerCore.configuration.database_url,
                                                              log: printed.path)
      workers.start
      yield workers
    ensure
      workers&.stop
      printed&.close!
    end

    def worker_arguments
      ["-r", File.join(__dir__, "replay.rb"), "-c", option(:concurrency).to_s, "-p", option(:processes).to_s,
       "--queues", Document::QUEUE, "--shutdown-timeout", SHUTDOWN_TIMEOUT]
    end

    # Cancels the task when this program is stopped before its end.
    def follow(client, task_id, workers)
      status = nil
      TaskerCore::CLI::Progress.new(output, title: "task #{task_id}").follow do
        workers.check
        status = client.status(task_id)
      end
    ensure
      cancel(client, task_id) unless status&.settled?
    end

    def cancel(client, task_id)
      client.cancel(task_id, actor: actor, reason: "the program that ran it was stopped")
      output.note("run: stopped; task #{task_id} is cancelled")
    end

    def report(status)
      seconds = Format.between(status.requested_at, status.finished_at)
      TaskReport.new(output).show(status, "rate" => "#{Format.count((status.steps_total / seconds).round)} steps/s")
      all_complete?(status) ? OK : FAILED
    end

    def all_complete?(status)
      status.complete? && status.steps_by_state["complete"] == status.steps_total
    end
  end
end
