# frozen_string_literal: true

module TaskerCore
  module Internal
    # The connections that handlers have where they use Active Record: those of the pool of `ActiveRecord::Base`.
    module HandlerConnections
      # What is to be done where they are too few.
      ADVICE = "set pool: in config/database.yml to the threads of the process and one more, or have fewer threads: " \
               "concurrency: in config/tasker.yml, or -c"

      module_function

      # @return [ActiveRecord::ConnectionAdapters::ConnectionPool, nil] nil where there is none
      def pool
        ::ActiveRecord::Base.connection_pool if defined?(::ActiveRecord::Base)
      rescue ::ActiveRecord::ConnectionNotEstablished
        nil
      end

      # @param threads [Integer] of a worker
      # @return [String, nil] what is wrong where they are more than the connections
      # @example
      #   HandlerConnections.shortage(10) # => "a worker has 10 threads here and Active Record 5 connections: ..."
      def shortage(threads)
        connections = pool&.size
        return unless connections && connections < threads

        "a worker has #{threads} threads here and Active Record #{connections} connections: handlers that need one " \
          "wait for others, and fail after some seconds"
      end

      # @param threads [Integer] of a worker
      # @yieldparam warning [String] where they are more than the connections
      # @return [void]
      # @example
      #   HandlerConnections.check(10) { |warning| logger.warn { warning } }
      def check(threads)
        shortage = shortage(threads)
        yield "#{shortage}; #{ADVICE}" if shortage
      end
    end
  end
end
