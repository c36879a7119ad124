# frozen_string_literal: true

require "io/wait"
require "json"

module Bench
  # What worker processes tell {WorkerProcess}: one JSON document a line. Whoever includes it sets `@input`, `@output`
  # and, in seconds, `@tick`.
  module WorkerTalk
    private

    # Tells each number that is new, until standard input ends.
    #
    # @yieldreturn [Integer] attempts that are recorded
    def tell_progress
      told = 0
      until @input.wait_readable(@tick)
        completed = yield
        say("completed" => completed) unless completed == told
        told = completed
      end
    end

    def say(message)
      @output.puts(JSON.generate(message))
    end
  end
end
