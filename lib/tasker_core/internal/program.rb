# frozen_string_literal: true

require "rbconfig"

module TaskerCore
  module Internal
    # The program that this process executes, so that it can be started again, with what its files hold by then.
    class Program
      # What has Ruby load the gems of a Gemfile.
      BUNDLER = "-rbundler/setup"

      def initialize
        @command = [RbConfig.ruby, $PROGRAM_NAME, *ARGV].freeze
        @folder = folder
      end

      # Starts it with the same arguments, in the same folder: where that was reached by a symbolic link, in the one
      # that the link names now.
      #
      # @param variables [Hash{String => String}] of the environment, beside those that this process was started with
      # @param options [Hash] of Process.spawn
      # @return [Integer] pid
      # @raise [SystemCallError] it cannot be started
      # @example
      #   Program.new.start({ "TASKER_ENV" => "production" }, pgroup: true)
      def start(variables, **options)
        Process.spawn(environment.merge(variables), *@command, unsetenv_others: true, chdir: @folder, **options)
      end

      private

      # PWD has the name by which the folder was reached.
      def folder
        name = ENV.fetch("PWD", ".")
        File.identical?(name, ".") ? File.expand_path(name) : Dir.pwd
      end

      # Without what Bundler has set: it names the Gemfile of before.
      def environment
        return ENV.to_h unless defined?(Bundler)

        env = Bundler.original_env
        return env unless env["BUNDLE_GEMFILE"] || File.exist?(File.join(@folder, "Gemfile"))
        return env if env["RUBYOPT"].to_s.include?(BUNDLER)

        env.merge("RUBYOPT" => [env["RUBYOPT"], BUNDLER].compact.join(" "))
      end
    end
  end
end
