# frozen_string_literal: true

require_relative "embedded_worker"

module TaskerCore
  module Internal
    # The worker of each process of Puma that serves requests: it works as long as the process's server runs. Puma tells
    # of that in every mode, after the application was loaded and, in a cluster, in the processes that were forked.
    class PumaWorker
      # @param options [Hash{Symbol => Object}] of the {Worker}
      # @param cluster [Boolean] whether this process serves none, but forks others that do
      # @yield [line] is told what happens, in words
      def initialize(options, cluster:, &say)
        @options = options
        @master = cluster ? Process.pid : nil
        @say = say
        @worker = nil
      end

      # Follows the server. That it waits for the worker keeps the process from ending.
      #
      # @param state [Symbol] what a server of this process does: its own, or that of Puma's control interface
      # @return [void]
      # @example
      #   launcher.events.register(:state) { |state| puma_worker.follow(state) }
      def follow(state)
        case state
        when :running then start
        when :stop, :restart then stop
        when :halt then @worker&.stop!
        when :done then finish
        end
      end

      private

      def start
        @worker = EmbeddedWorker.new(@options, &@say) unless Process.pid == @master || @worker&.running?
      end

      def stop
        return unless @worker&.running?

        @say.call("stopping the worker: what runs may finish within its shutdown_timeout")
        @worker.stop
      end

      def finish
        @worker&.stop
        @worker&.wait
      end
    end
  end
end
