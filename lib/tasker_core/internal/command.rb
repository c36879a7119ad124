# frozen_string_literal: true

module TaskerCore
  module Internal
    # Runs a program to its end and keeps what it says.
    module Command
      # Thrown when a program fails or cannot be started.
      class Failed < StandardError; end

      # The program speaks English, reads nothing, and none of the caller's Postgres variables (PGHOST,
      # PGPORT, PGOPTIONS, ...) reaches it.
      #
      # @param words [Array<String>] the program and its arguments
      # @return [String] all that it wrote, to either stream
      # @raise [Failed] it did not end with status 0; the message is what it wrote
      # @example
      #   Command.run(["psql", "--version"]) # => "psql (PostgreSQL) 15.4\n"
      def self.run(words)
        output = IO.popen(environment, words, in: File::NULL, err: %i[child out], chdir: "/", &:read)
        Process.last_status.success? ? output : raise(Failed, output.strip)
      rescue SystemCallError => e
        raise Failed, e.message
      end

      def self.environment
        ENV.keys.grep(/\APG/).to_h { |name| [name, nil] }.merge("LC_ALL" => "C", "LANGUAGE" => nil)
      end
      private_class_method :environment
    end
  end
end
