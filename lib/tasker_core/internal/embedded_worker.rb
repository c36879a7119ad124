# frozen_string_literal: true

require_relative "wakeup"

module TaskerCore
  module Internal
    # A worker in a process that is there for something else, a web server for instance. It is started by a thread, for
    # which nobody waits; where it cannot start, or cannot go on, another one is tried after a pause that doubles up to
    # {MAX_PAUSE} while they fail. Loads the library when it is started, not before: the application has to be there.
    class EmbeddedWorker
      # Seconds between two tries, the first and the longest pause.
      FIRST_PAUSE = 1.0
      MAX_PAUSE = 30.0

      # @param options [Hash{Symbol => Object}] of the {Worker}
      # @yield [line] is told what happens, in words
      def initialize(options, &say)
        @options = options
        @say = say
        @pause = FIRST_PAUSE
        @wakeup = Wakeup.new
        @stop = @worker = nil
        @thread = Thread.new { work until @stop }
        @thread.name = "tasker-embedded"
      end

      # Asks it to end its work, as {Worker#stop} does. Returns at once.
      #
      # @return [void]
      # @example
      #   embedded.stop
      def stop
        @stop ||= :stop
        @worker&.stop
        @wakeup.ring
      end

      # Asks it to stop at once, as {Worker#stop!} does. Returns at once.
      #
      # @return [void]
      # @example
      #   embedded.stop!
      def stop!
        @stop = :stop!
        @worker&.stop!
        @wakeup.ring
      end

      # Waits until it has stopped.
      #
      # @return [void]
      # @example
      #   embedded.stop
      #   embedded.wait
      def wait
        @thread.join
        @wakeup.close
      end

      # @return [Boolean] whether it works, or tries to; not in a fork of its process
      def running?
        @thread.alive?
      end

      private

      def work
        require "tasker_core"
        execute_steps
        @pause = FIRST_PAUSE
      rescue StandardError, ScriptError => e
        return if @stop

        @say.call("no worker in this process, the next try is in #{@pause.round} s: #{e.message} (#{e.class})")
        @wakeup.wait(@pause)
        @pause = [@pause * 2, MAX_PAUSE].min
      end

      # One that was asked to stop meanwhile ends as soon as it has started.
      def execute_steps
        @worker = Worker.new(**@options)
        @worker.public_send(@stop) if @stop
        @worker.start
        @pause = FIRST_PAUSE
        @say.call("worker #{@worker.id} is ready")
        summary = @worker.wait
        @say.call("worker #{@worker.id} stopped: #{summary.finished} finished, #{summary.given_back} given back, " \
                  "#{summary.interrupted} interrupted")
      end
    end
  end
end
