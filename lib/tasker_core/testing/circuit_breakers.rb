# frozen_string_literal: true

module TaskerCore
  module Testing
    # What the HTTP steps of this process have learnt of hosts that fail. Examples of RSpec, and tests with
    # {Assertions}, begin without what others have learnt. It can be loaded without the rest of the test kit:
    # `require "tasker_core/testing/circuit_breakers"`.
    module CircuitBreakers
      # Forgets it: the next request is sent, to whatever host.
      #
      # @return [void]
      # @example
      #   TaskerCore::Testing::CircuitBreakers.reset
      def self.reset
        Internal::Http::HOSTS.clear if defined?(Internal::Http::HOSTS)
      end
    end
  end
end
