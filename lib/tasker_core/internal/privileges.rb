# frozen_string_literal: true

require "etc"
require_relative "../errors"
require_relative "executable"

module TaskerCore
  module Internal
    # The user a Postgres server runs as. Postgres refuses to run as root, so root hands its server
    # to an ordinary user; everybody else runs it as who they are.
    #
    # @example
    #   privileges = Privileges.current
    #   system(*privileges.wrap(["initdb", "-D", folder]))
    class Privileges
      # Users that root may give a server to, the best one first.
      SERVER_USERS = %w[postgres nobody].freeze

      # Programs that run a command as another user without a password, as a prefix of its words.
      # setpriv becomes the command itself, so that process ids and signals stay what they are.
      PREFIXES = {
        "setpriv" => ->(user) { ["--reuid", user.name, "--regid", user.gid.to_s, "--init-groups", "--"] },
        "runuser" => ->(user) { ["-u", user.name, "--"] }
      }.freeze

      class << self
        # @return [Privileges] those that a server started by this process gets
        # @raise [ConfigurationError] this process is root's and no user or program to step down is there
        def current
          Process.euid.zero? ? lowered : new(user: Etc.getpwuid(Process.euid))
        end

        private

        def lowered
          user = SERVER_USERS.lazy.filter_map { |name| find_user(name) }.first
          raise ConfigurationError, no_user unless user

          new(user: user, prefix: prefix_for(user))
        end

        def find_user(name)
          Etc.getpwnam(name)
        rescue ArgumentError
          nil
        end

        def prefix_for(user)
          program = PREFIXES.keys.find { |name| Executable.find(name) }
          raise ConfigurationError, no_program unless program

          [program, *PREFIXES.fetch(program).call(user)]
        end

        def no_user
          "Postgres does not run as root and none of the users #{SERVER_USERS.join(", ")} exists; " \
            "run the command as an ordinary user or create the user postgres"
        end

        def no_program
          "Postgres does not run as root and none of the programs #{PREFIXES.keys.join(", ")} was found " \
            "in PATH; run the command as an ordinary user or install the package util-linux"
        end
      end

      # @return [Etc::Passwd] the user the server runs as
      attr_reader :user

      # @param user [Etc::Passwd] the user the server runs as
      # @param prefix [Array<String>] words before a command that make it run as that user
      def initialize(user:, prefix: [])
        @user = user
        @prefix = prefix.freeze
        freeze
      end

      # @param command [Array<String>] a program and its arguments
      # @return [Array<String>] the same, to be run as the server's user
      def wrap(command)
        [*@prefix, *command]
      end

      # Makes a folder that only the server's user (and root) may enter. A folder that is there
      # already must be such a one.
      #
      # @param path [String] the folder; its parent exists
      # @return [String] path
      # @raise [ConfigurationError] something else is there, or somebody else's folder
      def private_folder(path)
        create_private_folder(path)
        stat = File.lstat(path)
        raise ConfigurationError, "#{path} must be a folder, it is a #{stat.ftype}" unless stat.directory?
        raise ConfigurationError, foreign(path, stat) unless stat.uid == user.uid
        raise ConfigurationError, open_to_others(path, stat) unless (stat.mode & 0o077).zero?

        path
      end

      private

      def create_private_folder(path)
        Dir.mkdir(path, 0o700)
        File.chown(user.uid, user.gid, path) if Process.euid.zero?
      rescue Errno::EEXIST
        nil
      end

      def foreign(path, stat)
        "#{path} must belong to the user #{user.name} (uid #{user.uid}), it belongs to uid #{stat.uid}"
      end

      def open_to_others(path, stat)
        format("%<path>s must be closed to other users (mode 0700), its mode is %<mode>04o",
               path: path, mode: stat.mode & 0o7777)
      end
    end
  end
end
