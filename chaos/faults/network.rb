# frozen_string_literal: true

require_relative "../fault"

module Chaos
  module Faults
    # Connections are closed at both ends.
    class Cut < Fault
      # @return [String]
      def begin
        share = random.rand(0.2..1.0)
        world.proxy.cut(share: share, random: random)
        "#{(share * 100).round} % of the connections"
      end
    end

    # Connections are closed when a commit is asked for: {PLACE} the server learns of it, or has done it.
    class CutAtCommit < Fault
      # Most connections that are cut.
      MOST = 5

      # @return [String]
      def begin
        times = random.rand(1..MOST)
        world.proxy.cut_at_commit(self.class::PLACE, times: times)
        "#{times} times"
      end
    end

    # The server does not learn of a commit.
    class CutBeforeCommit < CutAtCommit
      PLACE = :before
    end

    # The client does not learn whether its commit took place; it did.
    class CutAfterCommit < CutAtCommit
      PLACE = :after
    end

    # Everything takes longer.
    class Delay < Fault
      # @return [Range]
      def self.lasts
        3.0..8.0
      end

      # @return [String]
      def begin
        seconds = random.rand(0.005..0.15)
        world.proxy.delay(seconds)
        "#{(seconds * 1000).round} ms each way"
      end

      # @return [void]
      def finish
        world.proxy.delay(0)
      end
    end

    # Connections go silent for good, and nobody is told.
    class Silence < Fault
      # @return [String]
      def begin
        share = random.rand(0.1..0.6)
        world.proxy.silence(share: share, random: random)
        "#{(share * 100).round} % of the connections"
      end
    end

    # Nothing comes through for some time, then everything does.
    class Partition < Fault
      # @return [Range]
      def self.lasts
        1.0..8.0
      end

      # @return [String]
      def begin
        world.proxy.hold(true)
        "all connections"
      end

      # @return [void]
      def finish
        world.proxy.hold(false)
      end
    end
  end
end
