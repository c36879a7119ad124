# frozen_string_literal: true

module TaskerCore
  module Internal
    # Steps that this process has claimed, for the threads of one worker. A thread waits for one without Ruby's lock and
    # takes it with the lock: what no thread has taken because a handler keeps the lock is given back. A thread whose
    # steps are very short takes some in a row without letting go of the lock, because to get it back costs some
    # microseconds.
    class Inbox
      # Steps that take less are taken in a row. Below it a handler hardly waits for anything, so that other
      # threads could not have executed it at the same time anyway.
      SHORT_US = 100
      # Steps that are taken in a row while they are short.
      ROW = 8
      # Longest wait in one call.
      WAIT_MS = 250
      # Interrupts are let in only while a thread waits with empty hands.
      WHILE_WAITING = { Object => :on_blocking }.freeze

      # @param native [Bridge::Worker]
      def initialize(native)
        @native = native
        @in_row = 0
      end

      # Waits for a step. The caller defers interrupts.
      #
      # @param last_us [Integer] how long this thread's last step took, in microseconds
      # @return [Array, nil] a step; nil: there will be none any more
      # @raise [Error] the native worker has failed
      # @example
      #   while (item = inbox.take(last_us))
      def take(last_us)
        (last_us < SHORT_US && next_in_row) || await
      end

      private

      def next_in_row
        return if (@in_row += 1) >= ROW

        @native.next_step(0)
      end

      def await
        @in_row = 0
        loop do
          item = Thread.handle_interrupt(WHILE_WAITING) { @native.next_step(WAIT_MS) }
          return item unless item == false
        end
      end
    end
  end
end
