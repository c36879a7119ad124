# frozen_string_literal: true

require "logger"
require_relative "errors"
require_relative "internal/configuration_file"
require_relative "internal/encryption_keys"
require_relative "internal/environment_settings"
require_relative "internal/error_classes"
require_relative "internal/masked_url"
require_relative "internal/worker_options"

module TaskerCore
  # Settings of this process. The one that is in force is frozen; {TaskerCore.configure} replaces it.
  #
  # What is set in several places, the last of these decides: the file config/tasker.yml, {TaskerCore.configure},
  # variables of the environment (docs/configuration.md).
  #
  # @example
  #   TaskerCore.configure do |c|
  #     c.database_url = "postgres:///shop"
  #     c.environment = "production"
  #   end
  class Configuration
    # The file with settings, from the current folder or that of the application.
    FILE = "config/tasker.yml"
    # Environment where none is named.
    DEFAULT_ENVIRONMENT = "development"
    # Largest number of database connections that one client may hold.
    MAX_POOL_SIZE = 100
    # Longest wait for a connection, in seconds.
    MAX_CONNECT_TIMEOUT = 300.0
    # What {#max_context_bytes} may be: 1 KiB to 64 MiB.
    CONTEXT_BYTES = (1_024..67_108_864).freeze
    # What settings are where nobody says otherwise.
    DEFAULTS = { database_url: nil, database: nil, environment: DEFAULT_ENVIRONMENT, pool_size: 4, connect_timeout: 3.0,
                 max_context_bytes: 1_048_576, transaction_connection: nil, around_steps: [].freeze,
                 authenticator: nil, current_attributes: [].freeze, worker: {}.freeze, encryption_keys: {}.freeze,
                 error_classes: {}.freeze }.freeze
    # Settings that are copied, so that they change for nobody.
    COPIES = { encryption_keys: Internal::EncryptionKeys.method(:copy), worker: Internal::WorkerOptions.method(:copy),
               error_classes: Internal::ErrorClasses.method(:copy) }.freeze
    # Settings of the file that are not found here: {Database} asks the file for them itself.
    ELSEWHERE = %i[database_url].freeze
    private_constant :COPIES, :ELSEWHERE

    # Makes the methods that read and set a setting.
    def self.setting(name)
      define_method(name) { value(name) }
      copy = COPIES.fetch(name, :itself.to_proc)
      define_method("#{name}=") { |value| @given[name] = copy.call(value) }
    end
    private_class_method :setting

    # @!attribute [rw] database_url
    #   @return [String, nil] database to use, "postgres://..." or "postgresql://...". Default nil: see {Database}.
    setting :database_url
    # @!attribute [rw] database
    #   @return [String, nil] in a Rails application, the name of the database of config/database.yml that has the
    #     tables. Default nil: the primary one.
    setting :database
    # @!attribute [rw] environment
    #   @return [String] selects the `environments:` part of templates and of the file. Default: RAILS_ENV or
    #     "development".
    setting :environment
    # @!attribute [rw] logger
    #   @return [Logger] anything with debug, info, warn and error. Default: that of Rails, else warnings and worse to
    #     $stderr.
    setting :logger
    # @!attribute [rw] pool_size
    #   @return [Integer] connections of the client that submits and reads, 1..100. Default 4.
    setting :pool_size
    # @!attribute [rw] connect_timeout
    #   @return [Numeric] seconds until a database that does not answer is called unavailable, up to 300. Default 3.0.
    setting :connect_timeout
    # @!attribute [rw] max_context_bytes
    #   @return [Integer] largest context of a task, in bytes of JSON, 1 KiB to 64 MiB. Default 1 MiB.
    setting :max_context_bytes
    # @!attribute [rw] transaction_connection
    #   @return [#call, nil] brings the connection in whose transaction a submit is written that names none, or nil
    #     where it has one of its own; and the one in whose transaction a transactional handler is executed, or nil
    #     where that is Active Record's (docs/transactions.md). Default: in a Rails application that of Active Record
    #     while it is in a transaction, else nil.
    setting :transaction_connection
    # @!attribute [rw] around_steps
    #   @return [Array<#call>] each is called with the task, the step and a block, around every attempt of a step in
    #     this process, the first one outermost; it calls the block once. Default: in a Rails application what Rails
    #     code needs around it, else [].
    setting :around_steps
    # @!attribute [rw] current_attributes
    #   @return [Array<String>] in a Rails application, names of classes of ActiveSupport::CurrentAttributes: what they
    #     hold where a task is submitted they hold around its steps (docs/rails.md). Default [].
    setting :current_attributes
    # @!attribute [rw] worker
    #   @return [Hash{Symbol => Object}] options of workers that are made without them, see {Worker#initialize}. Default
    #     {}.
    setting :worker
    # @!attribute [rw] authenticator
    #   @return [#call, nil] says whether who asks may see the pages of the mounted engine (docs/rails.md): it is called
    #     with the controller. Default nil: everybody in development and test, nobody elsewhere.
    setting :authenticator
    # @!attribute [rw] encryption_keys
    #   @return [Hash{String => String}] name => key, 32 bytes in base64, for contexts, results and failures at rest:
    #     the first encrypts, all of them decrypt; nothing is encrypted where there is none.
    setting :encryption_keys
    # @!attribute [rw] error_classes
    #   @return [Hash{String => String}] name of an exception class or module => "retryable", "permanent" or "blocked":
    #     what failures by such exceptions mean where neither the step's nor the template's `error_classes` knows them.
    #     Default {}.
    setting :error_classes

    # @api private
    # @return [#call, nil] brings the URL of the application's database, by its name or nil
    attr_reader :application_database
    # @api private
    # @return [Internal::ConfigurationFile]
    attr_reader :file

    # @param env [Hash{String => String}] variables of the environment. Default: ENV, read once, here.
    # @param folder [String] from which {FILE} is looked for. Default: the current one.
    def initialize(env: ENV, folder: Dir.pwd)
      @variables = Internal::EnvironmentSettings.from(env)
      @given = {}
      @assumed = { environment: Internal::EnvironmentSettings.assumed_environment(env),
                   logger: Logger.new($stderr, level: Logger::WARN, progname: "tasker_core") }.compact
      @application_database = nil
      @file = Internal::ConfigurationFile.new(File.expand_path(FILE, folder))
    end

    # What a framework knows, for settings that nobody makes.
    #
    # @api private
    # @param folder [String] from which {FILE} is looked for
    # @param application_database [#call] brings the URL of the application's database, by its name or nil
    # @param settings [Hash{Symbol => Object}]
    # @return [void]
    def assume(folder:, application_database:, **settings)
      @file = Internal::ConfigurationFile.new(File.expand_path(FILE, folder))
      @application_database = application_database
      @assumed = @assumed.merge(settings)
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
      draft.tap(&:check).freeze
    end

    # @return [void]
    # @raise [ConfigurationError] a setting has a value that is not allowed; names the file, or the variable, that
    #   makes it
    # @example
    #   configuration.check
    def check
      check_environment
      check_database_url
      check_database
      check_logger
      check_number(:pool_size, Integer, 1..MAX_POOL_SIZE)
      check_number(:connect_timeout, Numeric, 0.001..MAX_CONNECT_TIMEOUT)
      check_number(:max_context_bytes, Integer, CONTEXT_BYTES)
      %i[transaction_connection authenticator].each { |key| check_callable(key) }
      check_list(:around_steps, "an array of things with call, as lambdas have it") { |one| one.respond_to?(:call) }
      check_list(:current_attributes, "names of classes, as [\"Current\"]", &HandlerRegistry.method(:class_name?))
      check_worker
      check_table(:encryption_keys, Internal::EncryptionKeys)
      check_table(:error_classes, Internal::ErrorClasses)
    end

    # @api private
    # @param key [Symbol]
    # @return [Boolean] the file makes the setting, and nothing that comes after it
    def made_in_file?(key)
      !@variables.key?(key) && !@given.key?(key) && in_file?(key)
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

    def initialize_copy(other)
      super
      @given = @given.dup
    end

    def value(name)
      (layer_of(name) || DEFAULTS).fetch(name)
    end

    def layer_of(name)
      return @variables if @variables.key?(name)
      return @given if @given.key?(name)
      return from_file if in_file?(name)

      @assumed if @assumed.key?(name)
    end

    def in_file?(name)
      Internal::ConfigurationFile::KEYS.include?(name.to_s) && !ELSEWHERE.include?(name) && from_file.key?(name)
    end

    def from_file
      file.settings(environment).to_h { |name, value| [name, COPIES.fetch(name, :itself.to_proc).call(value)] }
    end

    def check_database_url
      url = database_url
      return if url.nil? || (url.is_a?(String) && url.valid_encoding? && url.b.start_with?(*Database::SCHEMES))

      refuse_words(:database_url, shown_url.inspect, "UTF-8 that begins with postgres:// or postgresql://, or nil")
    end

    def check_database
      return if database.nil? || (database.is_a?(String) && !database.empty?)

      refuse(:database, "the name of a database of config/database.yml, or nil")
    end

    def check_environment
      return if environment.is_a?(String) && environment.valid_encoding? && environment.match?(/\A[\w.-]+\z/)

      refuse(:environment, "a name of letters, digits, \"_\", \"-\" and \".\"")
    end

    def check_logger
      return if %i[debug info warn error].all? { |level| logger.respond_to?(level) }

      refuse_words(:logger, logger.class.inspect,
                   "an object with debug, info, warn and error; Logger.new(File::NULL) says nothing")
    end

    def check_callable(key)
      return if value(key).nil? || value(key).respond_to?(:call)

      refuse_words(key, value(key).class.inspect, "something with call, as a lambda has it, or nil")
    end

    def check_list(key, allowed, &fits)
      refuse(key, allowed) unless value(key).is_a?(Array) && value(key).all?(&fits)
    end

    def check_worker
      return refuse(:worker, "keys and values, as Worker.new takes them") unless worker.is_a?(Hash)

      Internal::WorkerOptions.new(**worker)
    rescue ConfigurationError => e
      raise if e.details["key"] == "worker"

      raise ConfigurationError.new("#{place(:worker)}: #{e.message}", details: e.details.merge("key" => "worker"))
    end

    def check_table(key, rules)
      seen = rules.problem(value(key))
      refuse_words(key, seen, rules::ALLOWED) if seen
    end

    def check_number(key, type, range)
      seen = value(key)
      return if seen.is_a?(type) && range.cover?(seen)

      refuse(key, "#{type == Integer ? "a whole number" : "a number"} from #{range.begin} to #{range.end}")
    end

    def refuse(key, allowed)
      refuse_words(key, value(key).inspect, allowed)
    end

    def refuse_words(key, seen, allowed)
      raise ConfigurationError.new("#{place(key)} is #{seen}, allowed is #{allowed}",
                                   details: { "key" => key.to_s, "value" => seen, "allowed" => allowed })
    end

    # Where a setting was made, as a message begins.
    def place(key)
      return Internal::EnvironmentSettings.variable(key) if @variables.key?(key)

      made_in_file?(key) ? "#{file.path}: #{key}" : key
    end

    def shown_keys
      encryption_keys.is_a?(Hash) ? encryption_keys.keys : encryption_keys.class
    end

    def shown_url
      database_url.is_a?(String) ? Internal::MaskedUrl.of(database_url) : database_url
    end
  end
end
