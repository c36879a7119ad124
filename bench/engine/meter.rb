# frozen_string_literal: true

require_relative "process_clock"

module Bench
  # What a stretch of work costs. Nothing is subtracted: the workers' own registration, heartbeats and end are in it,
  # and what Postgres does by itself meanwhile (autovacuum, checkpoints).
  #
  # @example
  #   meter = Meter.new(server) { fleet.cpu_seconds }
  #   meter.measure { fleet.wait_for(1000) }
  #   meter.per_step(1000, commits: 20) # => {"commits_per_step" => 0.02, ...}
  class Meter
    # Microseconds in a second.
    MICRO = 1_000_000.0

    Reading = Struct.new(:moment, :engine_cpu, :postgres_cpu)
    private_constant :Reading

    # @param server [Server]
    # @yieldreturn [Float, nil] CPU seconds that the engine has used so far
    def initialize(server, &engine_cpu)
      @server = server
      @engine_cpu = engine_cpu
    end

    # Sessions must stay connected to its end: the CPU time of one that ends is known a little later only.
    #
    # @yield the work
    # @return [void]
    def measure(&work)
      @server.profile ? @server.profile.record { read_around(&work) } : read_around(&work)
    end

    # @return [Float] how long it took, in seconds
    def seconds
      stopped_at - @before.moment.seconds
    end

    # @return [Float] when it was done, in seconds on the server's clock
    def stopped_at
      @after.moment.seconds
    end

    # @return [Float, nil] CPU seconds of the engine; nil where the system does not say
    def engine_cpu
      @after.engine_cpu && (@after.engine_cpu - @before.engine_cpu)
    end

    # @return [Float, nil] CPU seconds of Postgres; nil where it runs elsewhere
    def postgres_cpu
      @after.postgres_cpu && (@after.postgres_cpu - @before.postgres_cpu)
    end

    # @param steps [Integer] that were made or executed
    # @param commits [Integer] transactions meanwhile
    # @return [Hash{String => Numeric, nil}]
    def per_step(steps, commits:)
      wal_bytes = @after.moment.wal_bytes - @before.moment.wal_bytes
      { "commits_per_step" => commits.fdiv(steps), "wal_bytes_per_step" => wal_bytes.fdiv(steps),
        "engine_cpu_us_per_step" => engine_cpu && (engine_cpu * MICRO / steps),
        "postgres_cpu_us_per_step" => postgres_cpu && (postgres_cpu * MICRO / steps) }
    end

    # @param steps [Integer] that were made or executed
    # @return [Hash{String => Array<Hash{String => Object}>}] what each statement took, where that is to be known
    def profile(steps)
      @server.profile ? { "profile" => @server.profile.per_step(steps) } : {}
    end

    private

    def read_around
      @before = read
      yield
      @after = read
    end

    def read
      Reading.new(@server.moment, @engine_cpu.call, @server.cpu_seconds)
    end
  end
end
