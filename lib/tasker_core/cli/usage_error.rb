# frozen_string_literal: true

module TaskerCore
  class CLI
    # The command line was not understood, or names something that cannot be used.
    class UsageError < StandardError
      # @param message [String] what is wrong: the value seen, the value allowed
      # @param see [String, nil] the command line that tells more. Default: nil, then the {Command} that runs says it.
      def initialize(message, see: nil)
        super(message)
        @see = see
      end

      # @return [String, nil] the command line that tells more
      attr_reader :see
    end
  end
end
