# frozen_string_literal: true

# What a step costs beyond its handler: the same handler called in a loop, by the runner of attempts without a
# database, and by a worker with one.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require_relative "micro/clocks"
require_relative "micro/engine"
require_relative "micro/options"
require_relative "micro/report"

module Micro
  # In the place of the native worker: knows the template and takes every report.
  class Stub
    # @param template [TaskerCore::TaskTemplate]
    def initialize(template)
      @template = template
    end

    def template(_template_id)
      @template.json
    end

    def step_definition(_template_id, index)
      JSON.generate({ **@template.steps.fetch(index), "branches" => [] })
    end

    def succeed(_step_id, _attempt, _execution_us, _results)
      nil
    end

    # @raise [RuntimeError] always: this handler does not fail
    def fail(_step_id, _attempt, _execution_us, failure)
      raise "the handler failed: #{failure}"
    end
  end

  # Measures the overhead.
  class Overhead
    # How the names of the threads that execute steps begin.
    STEP_THREADS = "tasker-step"
    # Calls in each round of a measurement without a database.
    CALLS = 20_000

    # @param options [Options]
    def initialize(options)
      @options = options
    end

    # The overhead is the processor time of the worker's threads beyond that of the plain loop; Rust's threads
    # and Postgres are in the elapsed time only.
    #
    # @return [Hash{String => Object}] the figures
    def run
      plain = plain_ns / 1_000
      runner = runner_ns / 1_000
      engine = engine_us
      { "bench" => "overhead", "steps" => @options.steps, "threads" => @options.threads,
        "plain_us" => plain, "runner_us" => runner, **engine,
        "runner_overhead_us" => runner - plain,
        "overhead_us" => engine["engine_ruby_cpu_us"] && (engine["engine_ruby_cpu_us"] - plain) }
    end

    private

    def plain_ns
      Clocks.ns_per_call(CALLS) { Nothing.new.process(nil, nil, nil) }
    end

    def runner_ns
      runner = TaskerCore::Internal::StepRunner.new(Stub.new(Engine.template), TaskerCore.configuration)
      item = [1 << 20, 1, 1, 1, 0, JSON.generate(Engine::CONTEXT), nil]
      deferred = TaskerCore::Internal::Crew::DEFERRED
      Thread.handle_interrupt(deferred) { Clocks.ns_per_call(CALLS) { runner.run(item) } }
    end

    def engine_us
      Engine.open do |engine|
        engine.submit(@options.steps)
        worker = TaskerCore::Worker.new(concurrency: @options.threads)
        times = time(worker, engine)
        engine.check(@options.steps)
        times.transform_values { |ns| ns&.fdiv(1_000 * @options.steps) }
      end
    end

    def time(worker, engine)
      cpu = nil
      elapsed = Clocks.elapsed_ns do
        worker.start
        engine.await(@options.steps) { worker.stats.fetch("completed") }
        cpu = Clocks.threads_cpu_ns(STEP_THREADS)
      end
      { "engine_us" => elapsed, "engine_ruby_cpu_us" => cpu }
    ensure
      worker.stop
      worker.wait
    end
  end
end

options = Micro::Options.new(ARGV, what: "What a step costs beyond its handler.")
Micro::Report.print(Micro::Overhead.new(options).run)
