# frozen_string_literal: true

require_relative "clock"

module TaskerCore
  module Internal
    # Gives places of a {Supervisor} other children, one place after the other: first a successor is started, and only
    # when it is ready the child of before is told to end.
    class Replacements
      # Seconds in which a successor has to be ready.
      READY_SECONDS = 120.0

      # A place whose child is replaced, and why; the successor until it is ready, then who leaves; by when that has to
      # be so.
      Change = Struct.new(:place, :reason, :successor, :leaver, :deadline)
      private_constant :Change

      # @param logger [Logger]
      # @param leave_seconds [Numeric] in which a child has to end that was told to; else it is killed
      # @yield [number] starts a child for the place of this number
      # @yieldreturn [ChildProcess, nil] nil: it could not be started
      def initialize(logger:, leave_seconds:, &start)
        @logger = logger
        @leave_seconds = leave_seconds
        @start = start
        @changes = []
      end

      # Has the child of a place replaced, after those that were asked for before. Once more changes nothing.
      #
      # @param place [Place]
      # @param reason [String]
      # @return [void]
      # @example
      #   replacements.ask(place, "it has 512 MB")
      def ask(place, reason)
        @changes << Change.new(place, reason) unless @changes.any? { |change| change.place.equal?(place) }
      end

      # Does what can be done without waiting.
      #
      # @return [void]
      # @example
      #   replacements.go_on
      def go_on
        change = @changes.first or return
        done = change.leaver ? left?(change) : succeeded?(change)
        return unless done

        @changes.shift
        go_on
      end

      # A place whose child has ended by itself is not replaced any more.
      #
      # @param place [Place]
      # @return [ChildProcess, nil] the successor, where it was started
      # @example
      #   place.child = replacements.release(place)
      def release(place)
        change = @changes.find { |one| one.place.equal?(place) }
        return if change.nil? || change.leaver

        @changes.delete(change)
        change.successor
      end

      # @return [Array<ChildProcess>] those that have no place: not yet, or no longer
      def children
        @changes.flat_map { |change| [change.successor, change.leaver] }.compact.reject(&:ended?)
      end

      # @return [Float, nil] seconds until {#go_on} has to be called whatever happens; nil: there is no such time
      def left
        deadline = @changes.first&.deadline
        deadline && [deadline - Clock.seconds, 0.0].max
      end

      # @return [String, nil] what is being replaced, and why
      # @example
      #   replacements.text # => "process 0 is replaced: it has 512 MB"
      def text
        change = @changes.first
        change && "process #{change.place.number} is replaced: #{change.reason}"
      end

      private

      def succeeded?(change)
        return begin_change(change) unless change.successor
        return failed(change) if change.successor.ended?

        change.successor.ready? ? hand_over(change) : hurry(change, change.successor)
      end

      def begin_change(change)
        say(:warn, change, change.place.child, "is replaced: #{change.reason}")
        change.deadline = Clock.seconds + READY_SECONDS
        change.successor = @start.call(change.place.number)
        change.successor.nil?
      end

      def failed(change)
        how = "its successor ended with #{change.successor.status} before it was ready"
        say(:error, change, change.place.child, "stays: #{how}")
        true
      end

      def hand_over(change)
        change.leaver = change.place.child
        change.place.child = change.successor
        change.successor = nil
        change.deadline = Clock.seconds + @leave_seconds
        change.leaver.signal("TERM")
        false
      end

      def left?(change)
        return hurry(change, change.leaver) unless change.leaver.ended?

        say(:info, change, change.leaver, "ended: #{change.leaver.status}")
        true
      end

      # Once: nobody has to look again until it has ended.
      def hurry(change, child)
        return false unless left&.zero?

        say(:error, change, child, "is killed: its time is over")
        change.deadline = nil
        child.signal("KILL")
        false
      end

      def say(level, change, child, what)
        @logger.public_send(level) { "worker process #{change.place.number} (pid #{child.pid}) #{what}" }
      end
    end
  end
end
