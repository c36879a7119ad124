# frozen_string_literal: true

require_relative "../fault"

module Chaos
  module Faults
    # Worker processes end at once, at any instruction.
    class Kill < Fault
      # @return [String]
      def begin
        killed = victims
        killed.each { |member| member.signal("KILL") }
        pids(killed)
      end
    end

    # Worker processes stand still for longer than others wait for a heartbeat ({Run::LIFE}), and go on as if nothing
    # had been.
    class Stop < Fault
      # @return [Range]
      def self.lasts
        2.5..7.0
      end

      # @return [String]
      def begin
        @stopped = victims([world.fleet.members.size - 1, 1].max)
        @stopped.each { |member| member.signal("STOP") }
        pids(@stopped)
      end

      # @return [void]
      def finish
        @stopped.each { |member| member.signal("CONT") }
      end
    end

    # Worker processes are asked to end in order.
    class Term < Fault
      # @return [String]
      def begin
        asked = victims
        asked.each { |member| member.signal("TERM") }
        pids(asked)
      end
    end

    # The clock of a worker's host is wrong by an hour, ahead or behind.
    class Clock < Fault
      # Where Debian puts libfaketime.
      LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"

      class << self
        # @return [Range]
        def lasts
          8.0..20.0
        end

        # @return [String, nil]
        def missing
          "libfaketime is not installed" unless library
        end

        # @return [String, nil] path of the library
        def library
          Dir.glob(LIBRARIES).first
        end
      end

      # @return [String]
      def begin
        @place = random.rand(world.fleet.members.size)
        offset = random.rand(2).zero? ? "+3600" : "-3600"
        replace("LD_PRELOAD" => self.class.library, "FAKETIME" => offset, "FAKETIME_DONT_FAKE_MONOTONIC" => "1")
        "#{pids([world.fleet.members[@place]])}, #{offset} s"
      end

      # @return [void]
      def finish
        replace({})
      end

      private

      def replace(env)
        world.fleet.surround(@place, env)
        world.fleet.members[@place].signal("TERM")
      end
    end
  end
end
