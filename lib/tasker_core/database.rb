# frozen_string_literal: true

require_relative "errors"
require_relative "internal/embedded_postgres"
require_relative "internal/masked_url"

module TaskerCore
  # Which database is used. The first of these that names one decides:
  #
  # 1. `database_url` of the configuration (on the command line `--database-url`),
  # 2. the environment variable DATABASE_URL,
  # 3. `database_url` in the file config/tasker.yml,
  # 4. the embedded Postgres, which is started when it does not run.
  #
  # In a Rails application Active Record's configuration takes the place of the last one, and of DATABASE_URL, which
  # is a part of it. The file holds a URL for all environments, or one for each, or both:
  #
  #     database_url: postgres:///shop
  #     environments:
  #       production:
  #         database_url: postgres://db.internal/shop
  #
  # @example
  #   database = TaskerCore::Database.resolve(TaskerCore.configuration)
  #   database.url    # => "postgres:///shop"
  #   database.source # => :file
  class Database
    # How a URL begins.
    SCHEMES = %w[postgres:// postgresql://].freeze

    # @return [String] the URL
    attr_reader :url
    # @return [Symbol] what named it: :configuration, :environment, :file, :application or :embedded
    attr_reader :source
    # @return [String, nil] one sentence for the user when the embedded Postgres was started just
    #   for this, else nil
    attr_reader :notice

    class << self
      # @param configuration [Configuration]
      # @param env [Hash{String => String}] where DATABASE_URL is taken from
      # @param embedded [Internal::EmbeddedPostgres, nil] the server to start when nothing names a
      #   database; nil takes that of this user
      # @return [Database] frozen
      # @raise [ConfigurationError] the file is not understood, or a URL is none
      # @raise [DatabaseUnavailable] the embedded Postgres is not installed or does not start
      def resolve(configuration, env: ENV, embedded: nil)
        named(:configuration, configuration.database_url, "database_url") ||
          (of_application(configuration) if configuration.application_database) ||
          of_machine(configuration, env, embedded)
      end

      private

      def of_application(configuration)
        in_file(configuration) ||
          named(:application, configuration.application_database.call(configuration.database), "config/database.yml")
      end

      def of_machine(configuration, env, embedded)
        named(:environment, Internal::EnvironmentSettings.text(env, "DATABASE_URL"), "DATABASE_URL") ||
          in_file(configuration) ||
          refuse_name(configuration.database) ||
          started(embedded || Internal::EmbeddedPostgres.new)
      end

      def in_file(configuration)
        file = configuration.file
        named(:file, file.settings(configuration.environment)[:database_url], "#{file.path}: database_url")
      end

      def named(source, url, where)
        return if url.nil? || url == ""
        return new(url: url, source: source) if url.is_a?(String) && url.start_with?(*SCHEMES)

        raise ConfigurationError.new("#{where} must begin with #{SCHEMES.join(" or ")}, not with #{beginning(url)}",
                                     details: { "key" => where, "allowed" => SCHEMES })
      end

      def refuse_name(name)
        return unless name

        raise ConfigurationError.new("database is #{name.inspect}, and only a Rails application reads " \
                                     "config/database.yml; run its bin/tasker, or name a database_url",
                                     details: { "key" => "database", "value" => name })
      end

      # No more of it: a password may follow.
      def beginning(url)
        url.to_s[%r{\A[\w+.-]*:?/*}].inspect
      end

      def started(embedded)
        outcome = embedded.start
        notice = "no database is configured: started the embedded Postgres in #{embedded.data_folder} " \
                 "(stop it with `tasker db stop`)"
        new(url: embedded.url, source: :embedded, notice: (notice if outcome == :started))
      end
    end

    # @param url [String] the URL
    # @param source [Symbol] what named it
    # @param notice [String, nil] one sentence for the user
    def initialize(url:, source:, notice: nil)
      @url = url.dup.freeze
      @source = source
      @notice = notice
      freeze
    end

    # @return [String] without the password that the URL may hold
    def inspect
      "#<#{self.class} url=#{Internal::MaskedUrl.of(url).inspect} source=#{source.inspect}>"
    end

    # @return [Boolean] it is the embedded Postgres
    def embedded?
      source == :embedded
    end
  end
end
