# frozen_string_literal: true

require_relative "internal/active_record_database"
require_relative "internal/application_templates"
require_relative "internal/current_attributes"
require_relative "internal/rails_step"
require_relative "internal/schema_dump"

module TaskerCore
  # What a Rails application gets by the gem (docs/rails.md): settings from its own, handlers that run as its code
  # should, templates from config/tasker, its tables in db/schema.rb, and pages to mount.
  #
  # @example
  #   # config/routes.rb
  #   mount TaskerCore::Engine => "/tasker"
  class Engine < ::Rails::Engine
    isolate_namespace TaskerCore

    # Found as an application's own models are; elsewhere they are required.
    TaskerCore.autoload :Records, File.expand_path("records", __dir__)

    # Environments of those who write the application: everybody may see the pages where there is no
    # {Configuration#authenticator}, and templates whose handlers are missing stop the boot where all code is loaded.
    OPEN_ENVIRONMENTS = %w[development test].freeze

    class << self
      # @api private
      # @return [Internal::ApplicationTemplates, nil] those of the application; nil before it is initialised
      attr_accessor :templates

      # @api private
      # @param app [Rails::Application]
      # @return [Hash{Symbol => Object}] what settings are where nobody says otherwise
      def settings(app)
        { folder: app.root.to_s, environment: ::Rails.env.to_s, logger: ::Rails.logger, application_database: nil,
          around_steps: [Internal::RailsStep.new(app), Internal::CurrentAttributes], **database_settings }
      end

      # What settings name is there.
      #
      # @api private
      # @param configuration [Configuration]
      # @return [void]
      # @raise [ConfigurationError]
      def check(configuration)
        Internal::CurrentAttributes.check(configuration.current_attributes)
        database = configuration.database
        Internal::ActiveRecordDatabase.url(database) if database && defined?(::ActiveRecord::Railtie)
      rescue ConfigurationError => e
        raise unless configuration.made_in_file?(e.details["key"].to_sym)

        path = configuration.file.path
        raise ConfigurationError.new("#{path}: #{e.message}", details: { **e.details, "file" => path })
      end

      private

      def database_settings
        return {} unless defined?(::ActiveRecord::Railtie)

        database = Internal::ActiveRecordDatabase
        { application_database: database.method(:url),
          transaction_connection: -> { database.in_transaction(TaskerCore.configuration.database) } }
      end
    end

    # Before the application's initializers, which see these settings and change them.
    initializer "tasker_core.configuration", before: :load_config_initializers do |app|
      TaskerCore.configure { |c| c.assume(**Engine.settings(app)) }
    end

    initializer "tasker_core.schema_dump" do
      ActiveSupport.on_load(:active_record) { Internal::SchemaDump.install }
    end

    initializer "tasker_core.templates", before: :set_clear_dependencies_hook do |app|
      templates = Engine.templates = Internal::ApplicationTemplates.new(app.root.join("config", "tasker"))
      app.config.watchable_dirs[templates.folder] = Internal::ApplicationTemplates::EXTENSIONS
      app.reloader.before_class_unload { HandlerRegistry.forget }
      app.reloader.to_prepare { templates.expect }
    end

    config.after_initialize { Engine.check(TaskerCore.configuration) }

    # As any other code of the application: all at the start where that is asked for. A class that is missing is to be
    # found in tests; in production all that does not need it goes on.
    config.after_initialize do |app|
      missing = app.config.eager_load ? TaskerCore.registry.aside.values.first : nil
      raise missing if missing && OPEN_ENVIRONMENTS.include?(::Rails.env)
    end
  end
end
