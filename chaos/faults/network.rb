# frozen_string_literal: true

require_relative "../fault"

module Chaos
  module Faults
    # Connections are closed at both ends.
    class Cut < Fault
      # @return [String]
      def begin
        share = random.rand(0.2..1.0)
        world.network.cut(share: share, random: random)
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
        world.network.cut_at_commit(self.class::PLACE, times: times)
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
        world.network.delay(seconds)
        "#{(seconds * 1000).round} ms each way"
      end

      # @return [void]
      def finish
        world.network.delay(0)
      end
    end

    # Connections go silent for good, and nobody is told.
    class Silence < Fault
      # @return [String]
      def begin
        share = random.rand(0.1..0.6)
        world.network.silence(share: share, random: random)
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
        world.network.hold(true)
        "all connections"
      end

      # @return [void]
      def finish
        world.network.hold(false)
      end
    end

    # The host of one worker is cut off for longer than others wait for its heartbeat ({Run::LIFE}), and what it sent
    # meanwhile arrives late.
    class Isolation < Fault
      # @return [Range]
      def self.lasts
        2.5..7.0
      end

      # @return [String]
      def begin
        @place = random.rand(world.fleet.members.size)
        world.network.hold(true, place: @place)
        pids([world.fleet.members[@place]])
      end

      # @return [void]
      def finish
        world.network.hold(false, place: @place)
      end
    end
  end
end
