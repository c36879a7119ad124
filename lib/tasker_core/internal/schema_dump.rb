# frozen_string_literal: true

require "stringio"
require_relative "../schema"

module TaskerCore
  module Internal
    # Part of `ActiveRecord::SchemaDumper`: db/schema.rb cannot hold the tables of this library (types, conditions,
    # a trigger), so it leaves them out and says which version of them there is.
    module SchemaDump
      # Adapters that lead to Postgres.
      ADAPTERS = /postg/i.freeze
      # What stands above the types of a dump, where none is left.
      EMPTY_TYPES = /^  # Custom types defined in this database\.\n(?:  #.*\n)*\n(?!  create_enum)/.freeze
      # Where the line goes: before what may refer to the tables.
      PLACE = /^(?=  add_foreign_key )|^(?=end$)/.freeze
      private_constant :ADAPTERS, :EMPTY_TYPES, :PLACE

      # Has Active Record's dumps made with it.
      #
      # @return [void]
      def self.install
        ::ActiveRecord::SchemaDumper.prepend(self)
      end

      # @param stream [IO] what the dump is written to
      # @return [IO] the same
      def dump(stream)
        version = @connection.adapter_name.match?(ADAPTERS) ? Schema.version(@connection) : 0
        return super if version.zero?

        @tasker_core_tables = Schema.tables
        buffer = StringIO.new
        super(buffer)
        stream.print(SchemaDump.complete(buffer.string, version))
        stream
      end

      # @api private
      # @param text [String] a dump without the tables
      # @param version [Integer]
      # @return [String]
      def self.complete(text, version)
        types = text.gsub(/^  create_enum "(\w+)".*\n/) do |line|
          Schema.types.include?(Regexp.last_match(1)) ? "" : line
        end
        types.sub(EMPTY_TYPES, "").sub(PLACE, "  TaskerCore::Schema.load(connection, version: #{version})\n\n")
      end

      private

      # Not by `ignore_tables`, which dumps to db/structure.sql go by as well.
      def ignored?(table_name)
        super || Array(@tasker_core_tables).include?(table_name)
      end
    end
  end
end
