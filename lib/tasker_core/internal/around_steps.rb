# frozen_string_literal: true

require_relative "../errors"

module TaskerCore
  module Internal
    # What is around each attempt, as {Configuration#around_steps} says.
    class AroundSteps
      # @param wrappers [Array<#call>] the first one is outermost
      def initialize(wrappers)
        @wrappers = wrappers
      end

      # @param task [Task]
      # @param step [Step]
      # @yield the attempt
      # @return [Object] what the block returned
      # @raise [ConfigurationError] one of them did not call its block
      # @example
      #   around.call(task, step) { handler.process(task, sequence, step) }
      def call(task, step)
        return yield if @wrappers.empty?

        ended = nil
        attempt = -> { ended = yield }
        @wrappers.reverse_each.inject(attempt) { |inner, wrapper| -> { wrapper.call(task, step, &inner) } }.call
        ended || raise(ConfigurationError, "what around_steps holds did not call its block: the handler was not called")
      end
    end
  end
end
