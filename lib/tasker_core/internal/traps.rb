# frozen_string_literal: true

module TaskerCore
  module Internal
    # Signal traps for a time.
    module Traps
      # @param answers [Hash{String => Proc}] by the name of the signal
      # @yield [] while signals are answered so; afterwards as before
      # @return [Object] what the block returned
      # @example
      #   Traps.during("TERM" => proc { worker.stop }) { worker.wait }
      def self.during(answers)
        before = answers.to_h { |signal, answer| [signal, Signal.trap(signal, &answer)] }
        yield
      ensure
        before&.each { |signal, handler| Signal.trap(signal, handler || "DEFAULT") }
      end
    end
  end
end
