# frozen_string_literal: true

require "generators/tasker_core/schema_migration"

module TaskerCore
  module Generators
    # `rails generate tasker_core:install`. What is there already stays as it is.
    class InstallGenerator < ::Rails::Generators::Base
      include SchemaMigration

      # Where the pages are mounted.
      MOUNT = 'mount TaskerCore::Engine => "/tasker"'
      # How a worker is started.
      WORKER = "bin/tasker work"
      # How Puma has one where that is asked for.
      PUMA = <<~RUBY.chomp
        if ENV["TASKER_IN_PUMA"]
          plugin :tasker_core
          # tasker_worker concurrency: 2
        end
      RUBY

      desc "Adds the tables of tasker_core, its settings, and what starts a worker, to the application."
      source_root File.expand_path("templates", __dir__)
      %w[initializer config migration bin procfile puma route].each do |part|
        class_option :"skip_#{part}", type: :boolean, default: false, desc: "Do without the #{part}"
      end

      # The settings that are objects.
      def create_initializer
        return if options[:skip_initializer]

        template("initializer.rb.tt", "config/initializers/tasker_core.rb", skip: true)
      end

      # The others.
      def create_config
        return if options[:skip_config]

        template("tasker.yml.tt", "config/tasker.yml", skip: true)
      end

      # The tables.
      def create_schema_migration
        return if options[:skip_migration]
        return say_status(:exist, "a migration for the tables of tasker_core", :blue) if migrated_version.positive?

        @version = Schema.latest
        @before = 0
        migration_template("#{__dir__}/../update/templates/migration.rb.tt",
                           File.join(migrations_folder, "create_tasker_core.rb"))
      end

      # The command, with the application loaded.
      def create_command
        return if options[:skip_bin]

        template("tasker.tt", "bin/tasker", skip: true)
        chmod("bin/tasker", 0o755, verbose: false)
      end

      # A worker beside the web server.
      def add_to_procfiles
        return if options[:skip_procfile]

        files = %w[Procfile Procfile.dev].select { |file| exist?(file) }
        return create_file("Procfile", "web: bin/rails server\ntasker: #{WORKER}\n") if files.empty?

        files.each { |file| add_worker(file) }
      end

      # A worker inside the web server.
      def add_to_puma
        return if options[:skip_puma] || !exist?("config/puma.rb")

        text = read("config/puma.rb")
        return say_status(:exist, "a worker in config/puma.rb", :blue) if text.include?("plugin :tasker_core")

        append_line("config/puma.rb", text, PUMA)
      end

      # The pages.
      def mount_pages
        return if options[:skip_route] || !exist?("config/routes.rb")

        mounted = read("config/routes.rb").include?("TaskerCore::Engine")
        mounted ? say_status(:exist, "a route to the pages of tasker_core", :blue) : route(MOUNT)
      end

      private

      def add_worker(file)
        text = read(file)
        return say_status(:exist, "a worker in #{file}", :blue) if text.include?(WORKER)

        append_line(file, text, "tasker: #{WORKER}")
      end

      def append_line(file, text, line)
        append_to_file(file, "#{"\n" unless text.empty? || text.end_with?("\n")}#{line}\n")
      end

      def exist?(path)
        File.exist?(File.join(destination_root, path))
      end

      def read(path)
        File.read(File.join(destination_root, path))
      end
    end
  end
end
