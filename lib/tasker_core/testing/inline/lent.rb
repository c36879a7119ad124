# frozen_string_literal: true

require "delegate"

module TaskerCore
  module Testing
    class Inline
      # A native client or worker, to which the test's session is lent while one of its methods runs. What such a method
      # yields to has the session itself.
      class Lent < SimpleDelegator
        # @param native [Internal::Bridge::Client, Internal::Bridge::Worker]
        # @param session [Session]
        # @param door [Door] by which the native object connects
        def initialize(native, session, door)
          super(native)
          @session = session
          @door = door
        end

        # As the native method.
        #
        # @api private
        def method_missing(name, *arguments, &block)
          back = block && ->(*yielded) { @session.reclaim { block.call(*yielded) } }
          @session.lend(@door) { __getobj__.public_send(name, *arguments, &back) }
        end

        # @api private
        def respond_to_missing?(name, include_private = false)
          __getobj__.respond_to?(name, include_private)
        end
      end
    end
  end
end
