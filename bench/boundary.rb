# frozen_string_literal: true

# What it costs to cross from Ruby to Rust and back: single calls, and the way of a step from `next_step` to
# `succeed` through a worker and Postgres, without a handler.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require_relative "micro/clocks"
require_relative "micro/engine"
require_relative "micro/options"
require_relative "micro/report"

module Micro
  # Measures the boundary.
  class Boundary
    # Calls in each round of a measurement.
    CALLS = 100_000
    # Milliseconds to wait for a step.
    WAIT_MS = 250
    # What every step reports.
    RESULTS = '{"ok":true}'

    # @param options [Options]
    def initialize(options)
      @options = options
      @bridge = TaskerCore::Internal::Bridge
    end

    # @return [Hash{String => Object}] the figures
    def run
      Engine.open do |engine|
        calls = engine.native_worker(1) { |native| time_calls(native) }
        engine.submit(@options.steps)
        trips = engine.native_worker(@options.threads) { |native| time_round_trips(engine, native) }
        engine.check(@options.steps)
        { "bench" => "boundary", "steps" => @options.steps, **calls, **trips }
      end
    end

    private

    def time_calls(native)
      { "ruby_call_ns" => Clocks.ns_per_call(CALLS) { itself },
        "native_call_ns" => Clocks.ns_per_call(CALLS) { native.id },
        "native_json_call_ns" => Clocks.ns_per_call(CALLS) { @bridge.check_json(RESULTS, "results") },
        "native_wait_call_ns" => Clocks.ns_per_call(CALLS / 10) { native.next_events(1, 0) } }
    end

    def time_round_trips(engine, native)
      cpu = 0
      elapsed = Clocks.elapsed_ns do
        cpu = Clocks.thread_cpu_ns { make_round_trips(native) }
        engine.await(@options.steps) { JSON.parse(native.stats).fetch("completed") }
      end
      { "round_trip_us" => elapsed.fdiv(1_000 * @options.steps),
        "round_trip_ruby_cpu_us" => cpu.fdiv(1_000 * @options.steps) }
    end

    def make_round_trips(native)
      left = @options.steps
      while left.positive?
        step_id, _, attempt = native.next_step(0) || native.next_step(WAIT_MS) || next
        native.succeed(step_id, attempt, 0, RESULTS)
        left -= 1
      end
    end
  end
end

options = Micro::Options.new(ARGV, what: "What a step costs at the border between Ruby and Rust.")
Micro::Report.print(Micro::Boundary.new(options).run)
