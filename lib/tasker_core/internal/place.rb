# frozen_string_literal: true

require_relative "clock"

module TaskerCore
  module Internal
    # A place for a child of a {Supervisor}: its number, the child, when to start the next, how long to pause then.
    Place = Struct.new(:number, :child, :due, :pause) do
      # @param number [Integer] from 0
      def initialize(number)
        super(number, nil, Clock.seconds, Place::FIRST_PAUSE)
      end

      # @return [Float, nil] seconds until a child is to be started, 0 and less: now; nil: there is one
      def left
        due - Clock.seconds unless child
      end

      # Has the next child started after a pause, twice as long as the one before unless a child has lived meanwhile.
      #
      # @param age [Numeric] seconds that the last child has lived
      # @return [void]
      # @example
      #   place.postpone(child.age)
      def postpone(age)
        self.pause = Place::FIRST_PAUSE if age >= Place::SETTLED
        self.due = Clock.seconds + pause
        self.pause = [pause * 2, Place::MAX_PAUSE].min
      end
    end

    # Seconds before a child that ended is replaced, the first and the longest pause.
    Place::FIRST_PAUSE = 0.5
    Place::MAX_PAUSE = 30.0
    # A process that lived this many seconds did not end soon.
    Place::SETTLED = 60.0
  end
end
