# frozen_string_literal: true

require "erb"
require_relative "../errors"
require_relative "search_path"

module TaskerCore
  module Internal
    # The database of Active Record's that has the tables: the one of `ActiveRecord::Base`, or one by its name in
    # config/database.yml.
    module ActiveRecordDatabase
      # Adapters that lead to Postgres.
      ADAPTERS = %w[postgresql postgis].freeze
      # Parameters of a connection that a URL takes as they are.
      PARAMETERS = %i[sslmode sslcert sslkey sslrootcert].freeze
      private_constant :ADAPTERS, :PARAMETERS

      module_function

      # @param name [String, nil] nil: that of `ActiveRecord::Base`
      # @return [String] its URL. Where the configuration is silent, the variables PGHOST and so on count.
      # @raise [ConfigurationError] there is no such database, or it is no Postgres
      # @example
      #   ActiveRecordDatabase.url("tasker") # => "postgres://shop@db.internal/tasker"
      def url(name)
        settings = checked(found(name)).configuration_hash
        "postgres://#{authority(settings)}/#{escape(settings[:database])}#{query(settings)}"
      end

      # @param name [String, nil] nil: that of `ActiveRecord::Base`
      # @return [ActiveRecord::ConnectionAdapters::AbstractAdapter, nil] this thread's connection to it while it is in a
      #   transaction
      # @example
      #   ActiveRecordDatabase.in_transaction(nil)
      def in_transaction(name)
        connection = pool(name)&.active_connection?
        connection if connection.respond_to?(:transaction_open?) && connection.transaction_open?
      end

      # @param name [String, nil] nil: that of `ActiveRecord::Base`
      # @return [ActiveRecord::ConnectionAdapters::AbstractAdapter] this thread's connection to it
      # @raise [ConfigurationError] there is none
      # @example
      #   ActiveRecordDatabase.connection(nil)
      def connection(name)
        pool = pool(name) || refuse("this thread has no connection to the database #{name}")
        pool.respond_to?(:lease_connection) ? pool.lease_connection : pool.connection
      end

      # @api private
      def pool(name)
        return ::ActiveRecord::Base.connection_pool unless name

        pools.find { |pool| pool.db_config.name == name && pool.active_connection? }
      rescue ::ActiveRecord::ConnectionNotEstablished
        nil
      end

      # @api private
      def pools
        handler = ::ActiveRecord::Base.connection_handler
        return handler.all_connection_pools if ::ActiveRecord.gem_version < Gem::Version.new("7.1")

        handler.connection_pool_list(:all)
      end

      # @api private
      def found(name)
        return ::ActiveRecord::Base.connection_db_config unless name

        all = ::ActiveRecord::Base.configurations.configs_for(env_name: ::Rails.env)
        all.find { |config| config.name == name } ||
          refuse("database is #{name.inspect}, which config/database.yml does not have for #{::Rails.env}; it has " \
                 "#{all.map(&:name).join(", ")}")
      rescue ::ActiveRecord::ConnectionNotEstablished
        refuse("config/database.yml has no database for #{::Rails.env}")
      end

      # @api private
      def checked(config)
        adapter = config.configuration_hash[:adapter].to_s
        return config if ADAPTERS.include?(adapter)

        refuse("the database #{config.name} of config/database.yml is no Postgres (its adapter is #{adapter}); name " \
               "one that is as `database` in config/tasker.yml, or a database_url")
      end

      # @api private
      def authority(settings)
        user = [settings[:username], settings[:password]].compact.map { |word| escape(word) }.join(":")
        place = [settings[:host], settings[:port]].map { |word| word && escape(word) }
        "#{"#{user}@" unless user.empty?}#{place.compact.join(":")}"
      end

      # @api private
      def query(settings)
        parameters = settings.slice(*PARAMETERS).compact.map { |name, value| "#{name}=#{escape(value)}" }
        path = settings[:schema_search_path]
        parameters << SearchPath.parameter(path.to_s) if path
        "?#{parameters.join("&")}" if parameters.any?
      end

      # @api private
      def escape(word)
        ERB::Util.url_encode(word)
      end

      # @api private
      def refuse(message)
        raise ConfigurationError.new(message, details: { "key" => "database" })
      end
    end
  end
end
