# frozen_string_literal: true

require_relative "../errors"
require_relative "clock"

module TaskerCore
  module Internal
    # The threads of a worker that execute steps. Each takes a step, executes it, reports, and takes the next until
    # there will be none any more. A thread that a handler ended is replaced, and so is one whose handler does not end
    # although others have ended its attempt.
    class Crew
      # Interrupts are deferred in these threads except where {Inbox} and {StepRunner} let them in: a step that was
      # taken is executed, and an attempt that ended is reported.
      DEFERRED = { Object => :never }.freeze
      # Seconds that {#kill} waits for threads to end.
      KILL_TIMEOUT = 1.0

      # A thread's place: what it executes, that when it was found to be ended by others, and whether another thread
      # has the place by now.
      Place = Struct.new(:thread, :item, :ended, :relieved)
      private_constant :Place

      # @param size [Integer] number of threads
      # @param inbox [Inbox]
      # @param runner [StepRunner]
      # @yield [error] once for each thread that ends, from that thread; error [StandardError, nil] why it cannot go on
      def initialize(size:, inbox:, runner:, &ended)
        @inbox = inbox
        @runner = runner
        @ended = ended
        @closing = false
        @places = Array.new(size)
        @hanging = []
        @working = Array.new(size) { |number| number }
        size.times { |number| hire(number) }
      end

      # Whether all threads have ended, or are past everything but telling so: asking them instead would miss the one
      # that tells.
      #
      # @return [Boolean]
      # @example
      #   wakeup.wait until crew.done?
      def done?
        @working.empty?
      end

      # Gives the places of threads to new ones whose handlers run although their attempt was ended by others before the
      # last call already. Such a thread ends with its handler. No more threads hang about than there are places; the
      # others keep theirs. To be called by one thread.
      #
      # @return [void]
      # @raise [HandlersHang] no place is left for a thread that could execute anything
      # @example
      #   crew.relieve
      def relieve
        @hanging.select!(&:alive?)
        stuck = @places.each_index.count { |number| hangs?(@places[number]) && !relieved?(number) }
        raise HandlersHang.of(stuck, @hanging.size) if stuck == @places.size
      end

      # @return [Integer] threads that have lost their places, and whose handlers have not ended
      # @example
      #   crew.hanging # => 0
      def hanging
        @hanging.count(&:alive?)
      end

      # Ends the threads in the middle of what they do.
      #
      # @return [Boolean] whether all have ended; one that is inside a long native call ends after it
      # @example
      #   crew.kill
      def kill
        @closing = true
        threads = @places.filter_map(&:thread) + @hanging
        threads.each(&:kill)
        deadline = Clock.seconds + KILL_TIMEOUT
        threads.each { |thread| thread.join([deadline - Clock.seconds, 0].max) }
        done?
      end

      private

      def hire(number)
        place = @places[number] = Place.new
        place.thread = Thread.new { work(number, place) }
        place.thread.name = "tasker-step-#{number + 1}"
      end

      # Whether its attempt was ended by others before the last call.
      def hangs?(place)
        item = place.item
        return place.ended = nil unless item && @runner.ended_by_others?(item)
        return true if place.ended.equal?(item)

        place.ended = item
        false
      end

      def relieved?(number)
        return false if @closing || @hanging.size >= @places.size

        place = @places[number]
        return false unless @runner.relieve(place.ended)

        place.relieved = true
        @hanging << place.thread
        hire(number)
      end

      def work(number, place)
        error = true
        error = Thread.handle_interrupt(DEFERRED) { execute_all(place) }
      ensure
        leave(number, error) unless place.relieved
      end

      def leave(number, error)
        @working.delete(number) unless error == true && replaced?(number)
        @ended.call(error == true ? nil : error)
      end

      # While a process exits, its threads are ended and no other can be made.
      def replaced?(number)
        !@closing && hire(number)
      rescue ThreadError
        false
      end

      def execute_all(place)
        last_us = Inbox::SHORT_US
        until place.relieved || !(item = @inbox.take(last_us))
          place.item = item
          last_us = @runner.run(item)
          place.item = nil
        end
      rescue StandardError => e
        e
      end
    end
  end
end
