# frozen_string_literal: true

require_relative "../engine/rust_program"
require_relative "job_fleet"
require_relative "peer"

module Bench
  # Engines that are measured beside ours.
  module Peers
    # apalis, in Rust, with its Postgres storage: in a database of its own on the server that ours uses.
    class Apalis < Peer
      # The program's own workspace.
      FOLDER = File.expand_path("apalis", __dir__)

      # The processes that execute jobs.
      class Workers < JobFleet
        private

        def program
          [Apalis.program, "work"]
        end
      end

      class << self
        # @return [String] its name in the report
        def title
          "apalis"
        end

        # Compiles it where that is needed.
        #
        # @return [void]
        # @raise [TaskerCore::InternalError] it does not compile; the reason is on the error stream
        def prepare
          program
        end

        # @return [String] path
        # @raise (see .prepare)
        def program
          @program ||= File.join(RustProgram.build("--manifest-path", File.join(FOLDER, "Cargo.toml")), "apalis_peer")
        end

        # @return [String]
        def version
          File.read(File.join(FOLDER, "Cargo.lock"))[/^name = "apalis-postgres"\nversion = "(.+)"/, 1]
        end

        # @return [Boolean] whether a job that is acknowledged survives a crash of the machine
        def durable?
          true
        end
      end

      private

      def with_store(&block)
        server.with_empty_database(&block)
      end

      def fleet
        Workers
      end

      def creator
        [self.class.program, "create"]
      end
    end
  end
end
