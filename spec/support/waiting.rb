# frozen_string_literal: true

# Waits for something to become true, instead of for time to pass.
module Waiting
  # Seconds between two looks.
  INTERVAL_SECONDS = 0.005

  module_function

  # @param what [String] what is waited for, for the message
  # @param within [Numeric] seconds
  # @yieldreturn [Object] anything true ends the waiting
  # @return [Object] what the block returned
  # @raise [RuntimeError] it did not become true
  # @example
  #   wait_until("the task is complete") { TaskerCore.status(id).state == "complete" }
  def wait_until(what = "the condition holds", within: 10)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + within
    loop do
      result = yield
      return result if result
      raise "waited #{within} s in vain until #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      IO.select(nil, nil, nil, INTERVAL_SECONDS)
    end
  end
end
