# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps whose attempts may not take longer together than a while: of one that waits, and one that works, some do.
  module Timed
    # The template.
    TEMPLATE = "timed"
    WAITS = "waits"
    BUSY = "works"
    # Seconds, by name of the step.
    TOTALS = { WAITS => 1.5, BUSY => 1.5 }.freeze
    # Seconds that each attempt of {BUSY} takes.
    SECONDS = (0.1..3.0)
    # How they are tried again: so late that some would begin too late.
    RETRY = { backoff: "fixed", base_seconds: 0.6, jitter: 0.5 }.freeze
    # Names of the parents by name of the step, parents first.
    GRAPH = { "begin" => [], WAITS => ["begin"], BUSY => ["begin"], "settled" => [WAITS, BUSY] }.freeze
  end
end
