# frozen_string_literal: true

module TaskerCore
  module Internal
    # Steps that this process has claimed, for the threads of one worker. Threads whose steps are very short take
    # several at once, because each call of the native library costs some microseconds; what a thread took beyond
    # its next step lies here, open to every other thread.
    class Inbox
      # Steps that take less are taken in batches. Below it a handler hardly waits for anything, so that other
      # threads could not have executed it at the same time anyway.
      SHORT_US = 100
      # Steps that are taken at once while they are short.
      BATCH = 8
      # Longest wait in one call; bounds how long a step lies here unnoticed by threads that wait.
      WAIT_MS = 250
      # Interrupts are let in only while a thread waits with empty hands.
      WHILE_WAITING = { Object => :on_blocking }.freeze

      # @param native [Bridge::Worker]
      def initialize(native)
        @native = native
        @items = []
      end

      # Waits for a step. The caller defers interrupts.
      #
      # @param last_us [Integer] how long this thread's last step took, in microseconds
      # @return [Array, nil] a step; nil: there will be none any more
      # @raise [Error] the native worker has failed
      # @example
      #   while (item = inbox.take(last_us))
      def take(last_us)
        @items.shift || refill(last_us < SHORT_US ? BATCH : 1)
      end

      private

      # Array#shift and #concat run under Ruby's global lock: two threads never get the same step.
      def refill(max)
        loop do
          batch = Thread.handle_interrupt(WHILE_WAITING) { @native.next_batch(max, WAIT_MS) }
          return @items.shift if batch.nil?

          item = batch.shift
          @items.concat(batch) unless batch.empty?
          item ||= @items.shift
          return item if item
        end
      end
    end
  end
end
