# frozen_string_literal: true

require "logger"
require_relative "errors"
require_relative "internal/encryption_keys"
require_relative "internal/error_classes"
require_relative "internal/masked_url"

module TaskerCore
  # Settings of this process. The one that is in force is frozen; {TaskerCore.configure} replaces it.
  #
  # @example
  #   TaskerCore.configure do |c|
  #     c.database_url = "postgres:///shop"
  #     c.environment = "production"
  #   end
  class Configuration
    # Variables of the environment that name the environment, the first that is set wins.
    ENVIRONMENT_VARIABLES = %w[TASKER_ENV RAILS_ENV].freeze
    # Environment where none is named.
    DEFAULT_ENVIRONMENT = "development"
    # Largest number of database connections that one client may hold.
    MAX_POOL_SIZE = 100
    # Longest wait for a connection, in seconds.
    MAX_CONNECT_TIMEOUT = 300.0
    # What {#max_context_bytes} may be: 1 KiB to 64 MiB.
    CONTEXT_BYTES = (1_024..67_108_864).freeze

    # @return [String, nil] database to use, "postgres://..." or "postgresql://...". Default nil: DATABASE_URL, else
    #   the configuration file, else the embedded Postgres where the command line started one.
    attr_accessor :database_url
    # @return [String] selects the `environments:` part of templates. Default: TASKER_ENV, RAILS_ENV or "development".
    attr_accessor :environment
    # @return [Logger] anything with debug, info, warn and error. Default: warnings and worse to $stderr.
    attr_accessor :logger
    # @return [Integer] connections of the client that submits and reads, 1..100. Default 4.
    attr_accessor :pool_size
    # @return [Numeric] seconds until a database that does not answer is called unavailable, up to 300. Default 3.0.
    attr_accessor :connect_timeout
    # @return [Integer] largest context of a task, in bytes of JSON, 1 KiB to 64 MiB. Default 1 MiB.
    attr_accessor :max_context_bytes
    # @return [#call, nil] brings the connection in whose transaction a submit is written that names none, or nil where
    #   it has one of its own; and the one in whose transaction a transactional handler is executed, or nil where
    #   that is Active Record's (docs/transactions.md). Default nil: no other ones.
    attr_accessor :transaction_connection
    # @return [Hash{String => String}] name => key, 32 bytes in base64, for contexts, results and failures at rest: the
    #   first encrypts, all of them decrypt; nothing is encrypted where there is none. Default: TASKER_ENCRYPTION_KEYS,
    #   NAME:KEY,NAME:KEY.
    attr_reader :encryption_keys
    # @return [Hash{String => String}] name of an exception class or module => "retryable", "permanent" or "blocked":
    #   what failures by such exceptions mean where neither the step's nor the template's `error_classes` knows them.
    #   Default {}.
    attr_reader :error_classes

    # @param env [Hash{String => String}] where the defaults come from. Default: ENV, read once, here.
    def initialize(env: ENV)
      @database_url = nil
      @environment = env.values_at(*ENVIRONMENT_VARIABLES).compact.find { |name| !name.empty? } || DEFAULT_ENVIRONMENT
      @logger = Logger.new($stderr, level: Logger::WARN, progname: "tasker_core")
      @pool_size = 4
      @connect_timeout = 3.0
      @max_context_bytes = 1_048_576
      @transaction_connection = nil
      self.encryption_keys = Internal::EncryptionKeys.from(env)
      self.error_classes = {}
    end

    # Copies the keys.
    #
    # @param keys [Hash{String, Symbol => String}] see {#encryption_keys}
    # @example
    #   TaskerCore.configure { |c| c.encryption_keys = { "2026-11" => ENV.fetch("TASKER_KEY") } }
    def encryption_keys=(keys)
      @encryption_keys = Internal::EncryptionKeys.copy(keys)
    end

    # Copies the table.
    #
    # @param table [Hash{String, Symbol, Module => String, Symbol}] see {#error_classes}
    # @example
    #   TaskerCore.configure { |c| c.error_classes = { "Stripe::CardError" => "permanent" } }
    def error_classes=(table)
      @error_classes = Internal::ErrorClasses.copy(table)
    end

    # A changed copy, checked and frozen.
    #
    # @yieldparam draft [Configuration]
    # @return [Configuration] frozen
    # @raise [ConfigurationError] a setting has a value that is not allowed
    # @example
    #   configuration = Configuration.new.with { |c| c.pool_size = 10 }
    def with
      draft = dup
      yield draft if block_given?
      draft.check
      draft.freeze
    end

    # @return [void]
    # @raise [ConfigurationError] a setting has a value that is not allowed
    # @example
    #   configuration.check
    def check
      check_database_url
      check_environment
      check_logger
      check_number(:pool_size, pool_size, Integer, 1..MAX_POOL_SIZE)
      check_number(:connect_timeout, connect_timeout, Numeric, 0.001..MAX_CONNECT_TIMEOUT)
      check_number(:max_context_bytes, max_context_bytes, Integer, CONTEXT_BYTES)
      check_transaction_connection
      check_table(:encryption_keys, Internal::EncryptionKeys)
      check_table(:error_classes, Internal::ErrorClasses)
    end

    # Hides the password that a URL may hold, and the keys.
    #
    # @return [String]
    # @example
    #   configuration.inspect # => "#<TaskerCore::Configuration environment=\"test\" pool_size=4 ...>"
    def inspect
      "#<#{self.class} environment=#{environment.inspect} database_url=#{shown_url.inspect} " \
        "pool_size=#{pool_size.inspect} connect_timeout=#{connect_timeout.inspect} " \
        "encryption_keys=#{shown_keys.inspect}>"
    end

    private

    def check_database_url
      return if database_url.nil?
      return if database_url.is_a?(String) && database_url.start_with?("postgres://", "postgresql://")

      refuse(:database_url, shown_url, "text that begins with postgres:// or postgresql://, or nil")
    end

    def check_environment
      return if environment.is_a?(String) && environment.match?(/\A[\w.-]+\z/)

      refuse(:environment, environment, "a name of letters, digits, \"_\", \"-\" and \".\"")
    end

    def check_logger
      return if %i[debug info warn error].all? { |level| logger.respond_to?(level) }

      refuse(:logger, logger.class, "an object with debug, info, warn and error; Logger.new(File::NULL) says nothing")
    end

    def check_transaction_connection
      return if transaction_connection.nil? || transaction_connection.respond_to?(:call)

      refuse(:transaction_connection, transaction_connection.class, "something with call, as a lambda has it, or nil")
    end

    def check_table(key, rules)
      seen = rules.problem(public_send(key))
      refuse_words(key, seen, rules::ALLOWED) if seen
    end

    def check_number(key, value, type, range)
      return if value.is_a?(type) && range.cover?(value)

      refuse(key, value, "#{type == Integer ? "a whole number" : "a number"} from #{range.begin} to #{range.end}")
    end

    def refuse(key, value, allowed)
      refuse_words(key, value.inspect, allowed)
    end

    def refuse_words(key, seen, allowed)
      raise ConfigurationError.new("#{key} is #{seen}, allowed is #{allowed}",
                                   details: { "key" => key.to_s, "value" => seen, "allowed" => allowed })
    end

    def shown_keys
      encryption_keys.is_a?(Hash) ? encryption_keys.keys : encryption_keys.class
    end

    def shown_url
      return database_url unless database_url.is_a?(String)

      Internal::MaskedUrl.of(database_url)
    end
  end
end
