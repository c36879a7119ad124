# frozen_string_literal: true

require "rails/generators"
require "rails/generators/active_record/migration"

module TaskerCore
  # What `rails generate tasker_core:...` runs.
  module Generators
    # What generators have in common that write a migration for the gem's tables.
    module SchemaMigration
      # How a migration says which version it brings the tables to; its way back comes second.
      MIGRATES = /TaskerCore::Schema\.migrate\(connection, version: (\d+)\)/.freeze

      # @api private
      def self.included(base)
        base.include(ActiveRecord::Generators::Migration)
        base.class_option(:database, type: :string, aliases: %w[--db],
                                     desc: "Database of config/database.yml with the tables (default: the primary one)")
      end

      private

      # The newest version that the application's migrations know of; 0: none.
      def migrated_version
        files = Dir.glob(File.join(File.expand_path(migrations_folder, destination_root), "*.rb"))
        files.flat_map { |file| File.read(file).scan(MIGRATES).flatten.map(&:to_i) }.max || 0
      end

      # Databases of the application, but the one of which the generator takes the migrations.
      def other_databases
        all = ActiveRecord::Base.configurations.configs_for(env_name: ::Rails.env).map(&:name)
        all - [options[:database] || all.first]
      end

      def migrations_folder
        Array(db_migrate_path).first
      end

      def active_record_version
        ActiveRecord::Migration.current_version
      end
    end
  end
end
