# frozen_string_literal: true

require "generators/tasker_core/schema_migration"

module TaskerCore
  module Generators
    # `rails generate tasker_core:update`: a migration to the tables of this version of the gem, where the application
    # has none yet.
    class UpdateGenerator < ::Rails::Generators::Base
      include SchemaMigration

      desc "Brings the tables of tasker_core to the version that the gem works with."
      source_root File.expand_path("templates", __dir__)

      # The migration, from the newest version that the others know of.
      def create_schema_migration
        @before = migrated_version
        @version = Schema.latest
        raise Thor::Error, missing if @before.zero?
        return say_status(:exist, "a migration to version #{@version}", :blue) if @before >= @version

        migration_template("migration.rb.tt", File.join(migrations_folder, "update_tasker_core_to_#{@version}.rb"))
      end

      private

      def missing
        said = "no migration of #{migrations_folder} makes the tables yet: run rails generate tasker_core:install"
        return said if other_databases.empty?

        "#{said}; or, where another database has them, name it: rails generate tasker_core:update --database NAME " \
          "(#{other_databases.join(", ")})"
      end
    end
  end
end
