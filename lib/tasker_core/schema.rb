# frozen_string_literal: true

require_relative "errors"

module TaskerCore
  # The tables of this library in a migration of Active Record's, on its connection and in its transaction. `tasker
  # migrate` runs the same files.
  #
  # @example
  #   class CreateTaskerCore < ActiveRecord::Migration[6.1]
  #     def up
  #       TaskerCore::Schema.migrate(connection, version: 1)
  #     end
  #
  #     def down
  #       TaskerCore::Schema.migrate(connection, version: 0)
  #     end
  #   end
  module Schema
    # Where the numbered pairs are.
    FOLDER = File.expand_path("../../migrations", __dir__)
    # The statement that reads the version.
    VERSION_SQL = File.expand_path("../../src/store/sql/schema_version.sql", __dir__)
    # How the version stands in the comment of `tasker_tasks`.
    COMMENT = /\Atasker_core schema (\d+)\z/.freeze
    # Guards migrations against one another, the command line's too.
    LOCK = "SELECT pg_advisory_xact_lock(8275371)"
    private_constant :FOLDER, :VERSION_SQL, :COMMENT, :LOCK

    class << self
      # @return [Integer] the newest version that this library has, the one that it works with
      def latest
        files("up").keys.max
      end

      # @param connection [ActiveRecord::ConnectionAdapters::AbstractAdapter] to Postgres
      # @return [Integer] the version that the database has; 0: none
      # @example
      #   TaskerCore::Schema.version(ActiveRecord::Base.connection) # => 1
      def version(connection)
        connection.select_value(File.read(VERSION_SQL)).to_s[COMMENT, 1].to_i
      end

      # Brings the tables to a version, up or down. Going down deletes what the later tables hold.
      #
      # @param connection [ActiveRecord::ConnectionAdapters::AbstractAdapter] to Postgres
      # @param version [Integer] 0: no tables
      # @return [void]
      # @raise [InvalidArgument] there is no such version
      # @raise [SchemaMismatch] the database is newer than this library
      # @example
      #   TaskerCore::Schema.migrate(connection, version: 1)
      def migrate(connection, version:)
        refuse(version) unless [0, *files("up").keys].include?(version)
        connection.transaction do
          connection.execute(LOCK)
          path(version(connection), version).each { |file| connection.execute(File.read(file)) }
        end
      end

      # Makes the tables of a version, empty, in the place of those that are there, as `create_table force: true` does:
      # what db/schema.rb does with them.
      #
      # @param connection [ActiveRecord::ConnectionAdapters::AbstractAdapter] to Postgres
      # @param version [Integer]
      # @return [void]
      # @raise [InvalidArgument] there is no such version
      # @raise [SchemaMismatch] the database is newer than this library
      # @example
      #   TaskerCore::Schema.load(connection, version: 1)
      def load(connection, version:)
        connection.transaction do
          migrate(connection, version: 0)
          migrate(connection, version: version)
        end
      end

      # @api private
      # @return [Array<String>] names of all tables
      def tables
        names(/^CREATE TABLE (\w+)/)
      end

      # @api private
      # @return [Array<String>] names of all enum types
      def types
        names(/^CREATE TYPE (\w+) AS ENUM/)
      end

      private

      # Version => file.
      def files(direction)
        Dir.glob(File.join(FOLDER, "*.#{direction}.sql")).to_h { |file| [File.basename(file).to_i, file] }
      end

      def path(from, target)
        if from > latest
          raise SchemaMismatch.new("the database's schema has version #{from}, this library knows those to " \
                                   "#{latest}: update the gem first", details: { "value" => from, "allowed" => latest })
        end

        from <= target ? files("up").values_at(*(from + 1)..target) : files("down").values_at(*from.downto(target + 1))
      end

      def names(pattern)
        files("up").values.flat_map { |file| File.read(file).scan(pattern).flatten }
      end

      def refuse(version)
        raise InvalidArgument.new("version is #{version.inspect}, allowed is a number from 0 to #{latest}",
                                  details: { "key" => "version", "value" => version, "allowed" => "0 to #{latest}" })
      end
    end
  end
end
