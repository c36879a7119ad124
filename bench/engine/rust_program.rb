# frozen_string_literal: true

require "tasker_core"

module Bench
  # Programs in Rust, the worker with handlers in Rust above all: built by cargo where that is needed, with the profile
  # that the extension has.
  module RustProgram
    ROOT = File.expand_path("../..", __dir__)
    EXAMPLE = "bench_worker"
    # The folder in which cargo puts what a profile makes, where that has another name.
    FOLDERS = { "dev" => "debug" }.freeze

    class << self
      # @return [String] the program's path
      # @raise [TaskerCore::InternalError] it does not compile; the reason is on the error stream
      def path
        @path ||= File.join(build("--example", EXAMPLE), "examples", EXAMPLE)
      end

      # @param options [Array<String>] for cargo: what to build
      # @return [String] the folder that it is in
      # @raise [TaskerCore::InternalError] it does not compile; the reason is on the error stream
      def build(*options)
        words = ["cargo", "build", "--quiet", "--locked", "--profile", profile, *options]
        unless system({ "CARGO_TARGET_DIR" => target, "PATH" => search_path }, *words, chdir: ROOT, out: :err)
          raise TaskerCore::InternalError, "this does not compile: #{words.join(" ")}"
        end

        File.join(target, FOLDERS.fetch(profile, profile))
      end

      private

      def profile
        ENV.fetch("RB_SYS_CARGO_PROFILE", "release")
      end

      def target
        File.expand_path(ENV.fetch("CARGO_TARGET_DIR", "target"), ROOT)
      end

      # Cargo comes from rustup as a rule, which puts it into the home folder.
      def search_path
        [ENV.fetch("PATH", nil), File.join(Dir.home, ".cargo", "bin")].compact.join(File::PATH_SEPARATOR)
      end
    end
  end
end
