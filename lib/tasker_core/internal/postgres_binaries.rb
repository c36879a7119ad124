# frozen_string_literal: true

require_relative "../errors"
require_relative "executable"

module TaskerCore
  module Internal
    # One installation of the Postgres server programs.
    #
    # @example
    #   PostgresBinaries.newest.path("pg_ctl") # => "/usr/lib/postgresql/15/bin/pg_ctl"
    class PostgresBinaries
      # The oldest major version that the gem's migrations and queries run on.
      MINIMUM_MAJOR = 13

      # Programs without which a folder is no installation.
      PROGRAMS = %w[postgres initdb pg_ctl psql].freeze

      # Where systems put the server programs: Debian and Ubuntu, Red Hat, Homebrew on both
      # kinds of Mac, Postgres.app. Folders of PATH are looked at as well.
      FOLDERS = %w[
        /usr/lib/postgresql/*/bin
        /usr/pgsql-*/bin
        /opt/homebrew/opt/postgresql*/bin
        /usr/local/opt/postgresql*/bin
        /Applications/Postgres.app/Contents/Versions/*/bin
      ].freeze

      class << self
        # @param folders [Array<String>] patterns of folders to look at besides those of PATH
        # @param env [Hash{String => String}] where PATH is taken from
        # @return [Array<PostgresBinaries>] usable installations, the newest version first
        def installed(folders: FOLDERS, env: ENV)
          candidates = Dir.glob(folders) | env.fetch("PATH", "").split(File::PATH_SEPARATOR)
          found = candidates.filter_map { |folder| at(folder) }
          found.select { |one| one.major >= MINIMUM_MAJOR }.sort_by { |one| [-one.major, -one.minor] }
        end

        # @param major [Integer, nil] the version that is wanted; nil takes the newest one
        # @param (see .installed)
        # @return [PostgresBinaries]
        # @raise [DatabaseUnavailable] it is not installed; says what to install
        def find(major: nil, **where)
          found = installed(**where)
          wanted = major ? found.find { |one| one.major == major } : found.first
          wanted || raise(DatabaseUnavailable, missing(major))
        end

        # @param folder [String] a folder
        # @return [PostgresBinaries, nil] the installation in it, nil when programs are missing
        def at(folder)
          return unless PROGRAMS.all? { |name| File.executable?(File.join(folder, name)) }

          version = version_of(File.join(folder, "postgres"))
          version && new(folder: folder, major: version[0], minor: version[1])
        end

        private

        def version_of(program)
          text = IO.popen([program, "--version"], err: File::NULL, &:read)
          text[/\(PostgreSQL\) (\d+(?:\.\d+)?)/, 1]&.split(".")&.then { |numbers| [numbers[0].to_i, numbers[1].to_i] }
        rescue SystemCallError
          nil
        end

        def missing(major)
          wanted = major ? "Postgres #{major}" : "Postgres #{MINIMUM_MAJOR} or newer"
          package = major ? "postgresql-#{major}" : "postgresql"
          "the programs of #{wanted} (#{PROGRAMS.join(", ")}) were not found; install them " \
            "(Debian and Ubuntu: `sudo apt-get install #{package}`; Homebrew: `brew install " \
            "#{package.tr("-", "@")}`) or name a database in DATABASE_URL"
        end
      end

      # @return [String] the folder with the programs
      attr_reader :folder
      # @return [Integer] the first number of the version, 15 for 15.4
      attr_reader :major
      # @return [Integer] the second number of the version, 4 for 15.4
      attr_reader :minor

      # @param folder [String] the folder with the programs
      # @param major [Integer] the first number of the version
      # @param minor [Integer] the second number of the version
      def initialize(folder:, major:, minor: 0)
        @folder = folder
        @major = major
        @minor = minor
        freeze
      end

      # @param program [String] a program's name, such as "pg_ctl"
      # @return [String] its absolute path
      def path(program)
        File.join(folder, program)
      end
    end
  end
end
