# frozen_string_literal: true

require "zlib"
require_relative "stale"
require_relative "timed"

# Runs the engine under faults, and checks what it did.
module Chaos
  # What the handler of a step waits for: a time, or a signal, with or without a limit. It follows from the task's seed
  # and the step's name alone. `strict`: the handler fails where the signal does not come in time.
  Wait = Struct.new(:signal, :seconds, :strict) do
    # Called anew in each attempt, as a handler would.
    #
    # @param step [TaskerCore::Step]
    # @return [Hash{String => Object}] what the handler was told at the end of the wait
    # @raise [TaskerCore::SignalTimeout]
    def perform(step)
      return { "signal" => step.wait_for(signal, timeout: seconds) } if signal

      step.sleep_for(seconds, data: { "slept" => seconds }) unless step.data
      step.data.slice("slept")
    end
  end

  # The template whose steps wait.
  Wait::TEMPLATE = "waiting"
  # The signal that is sent to each task whose handlers need one, and that which is sent to some.
  Wait::NEEDED = "go"
  Wait::POSSIBLE = "maybe"
  # Signal by name of the step; nil: a time.
  Wait::ALL = { "timer" => nil, Timed::WAITS => nil, "approval" => Wait::NEEDED, "other" => Wait::NEEDED,
                "patient" => Wait::POSSIBLE, Stale::STEP => Stale::SIGNAL }.freeze
  # Signals that handlers wait for as long as it takes.
  Wait::FOR_EVER = [Wait::NEEDED, Stale::SIGNAL].freeze
  # Seconds of a wait for a time, and at most for the signal that perhaps does not come.
  Wait::SECONDS = (0.2..3.0).freeze
  # Seconds that a step waits after its parents have ended, before its first attempt.
  Wait::DELAYS = { "delayed" => 0.7 }.freeze
  # Names of the parents by name of the step, parents first.
  Wait::GRAPH = { "begin" => [], "delayed" => ["begin"], "timer" => ["begin"], "approval" => ["delayed"],
                  "other" => ["begin"], "patient" => ["begin"], "watched" => ["begin"], "limited" => ["begin"],
                  "finish" => %w[timer approval other patient watched limited] }.freeze

  class << Wait
    # @param seed [Integer] of the task
    # @param step [String] name of the step
    # @return [Wait, nil] frozen; nil: it does not wait
    def of(seed, step)
      return unless self::ALL.key?(step)

      random = Random.new(Zlib.crc32("#{seed}/#{step}/wait"))
      signal = self::ALL.fetch(step)
      seconds = random.rand(self::SECONDS).round(3) unless self::FOR_EVER.include?(signal)
      new(signal, seconds, random.rand(2).zero?).freeze
    end
  end
end
