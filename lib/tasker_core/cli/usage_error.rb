# frozen_string_literal: true

module TaskerCore
  class CLI
    # The command line was not understood, or names something that cannot be used.
    class UsageError < StandardError
      # @param message [String] what is wrong: the value seen, the value allowed
      # @param see [String] the command line that tells more. Default: "tasker help".
      def initialize(message, see: "tasker help")
        super(message)
        @see = see
      end

      # @return [String] the command line that tells more
      attr_reader :see
    end
  end
end
