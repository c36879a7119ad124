# frozen_string_literal: true

require "json"
require_relative "internal/clock"
require_relative "client"
require_relative "errors"
require_relative "internal/announcer"
require_relative "internal/bridge"
require_relative "internal/crew"
require_relative "internal/handler_connections"
require_relative "internal/inbox"
require_relative "internal/step_runner"
require_relative "internal/wakeup"
require_relative "internal/worker_options"

module TaskerCore
  # Claims steps and executes their handlers in threads, until it is told to stop. Runs once: a worker that has
  # stopped is not started again.
  #
  # An attempt that fails is recorded and, where that is right, tried again later; the worker goes on. That holds for
  # everything a handler raises, `exit` and Interrupt included. A step whose handler class is not there is blocked,
  # with that as the reason.
  #
  # @example a worker process
  #   worker = TaskerCore::Worker.new(concurrency: 10)
  #   trap("TERM") { worker.stop }
  #   worker.run
  class Worker
    # Seconds between two looks for handlers that go on although their attempts were ended.
    LOOK_SECONDS = 1.0
    private_constant :LOOK_SECONDS

    # How the work ended: number of attempts that ended and are recorded, since the start; of steps that were given
    # back unexecuted; of attempts that were cut off; and whether all of that could be recorded (else other workers
    # take the rest over after `dead_after`).
    Summary = Struct.new(:finished, :given_back, :interrupted, :in_order, keyword_init: true)

    # @param configuration [Configuration] Default: the one in force.
    # @param options [Hash{Symbol => Object}] may all be left out; before the defaults come those of
    #   {Configuration#worker}.
    #   concurrency [Integer], threads, default 5;
    #   queues [Array<String>, nil], default nil: every queue;
    #   shutdown_timeout [Numeric], seconds that running attempts get after {#stop}, and their ends to be written,
    #   default 25.0; writing gets five at least;
    #   heartbeat_interval [Numeric], seconds, default 2.0; longer for workers that have nothing to do;
    #   dead_after [Numeric], seconds without a heartbeat after which other workers take the steps over, default 6.0;
    #   retention [Numeric, nil], seconds after which complete, cancelled and resolved tasks are deleted with their
    #   history, default 14 days, nil: never;
    #   error_retention [Numeric, nil], the same for tasks in error, default 90 days.
    #   Every worker prunes by its own two: the shortest of a fleet count;
    #   max_results_bytes [Integer], largest results of a step as JSON, 1 KiB to 64 MiB, default 1 MiB
    # @raise [ConfigurationError] an unknown option or a value that is not allowed
    def initialize(configuration: TaskerCore.configuration, **options)
      @configuration = configuration
      @options = Internal::WorkerOptions.new(**configuration.worker, **options)
      @lock = Mutex.new
      @stop = @native = @wakeup = @failure = @summary = nil
    end

    # Works until {#stop} or {#stop!} is called from another thread or from a signal trap. Sets no traps itself. Leaves
    # no thread behind, also when it is interrupted.
    #
    # @return [Summary] frozen
    # @raise [InternalError] a defect ended the worker; other workers take over what it could not write
    # @raise [Error] see {#start}; or the worker could not go on
    # @example
    #   worker.run
    def run
      start
      begin
        wait
      ensure
        stop!
        @control.join
      end
    end

    # Registers this process's templates, connects and starts the threads.
    #
    # @return [self]
    # @raise [DatabaseUnavailable]
    # @raise [SchemaMismatch] the message says what to run
    # @raise [TemplateConflict] the database has another template under a name and version of this process's
    # @raise [DatabaseError] the same, without tasks but of a transaction that is open
    # @raise [InvalidArgument] started before
    # @example
    #   worker = TaskerCore::Worker.new.start
    def start
      @lock.synchronize do
        raise InvalidArgument, "this worker was started before; make another with Worker.new" if @native

        @pid = Process.pid
        @native = connect
        begin_work
      end
      check_connections
      self
    end

    # Asks the worker to end its work: no further step is claimed, what runs may finish within `shutdown_timeout`, the
    # rest is given back. Returns at once; {#wait} and {#run} return when it has happened. May be called from a signal
    # trap, before {#start} and more than once.
    #
    # @return [void]
    # @example
    #   trap("TERM") { worker.stop }
    def stop
      ask_to_stop(:gracefully)
    end

    # Asks the worker to stop at once: running attempts are cut off, recorded as interrupted, and executed again later
    # by whichever worker claims them. May be called where {#stop} may.
    #
    # @return [void]
    # @example
    #   trap("QUIT") { worker.stop! }
    def stop!
      ask_to_stop(:at_once)
    end

    # Waits until the worker has stopped.
    #
    # @param timeout [Numeric, nil] seconds; nil: without a limit. Default nil.
    # @return [Summary, nil] frozen; nil: not started, or still running after `timeout`
    # @raise [InternalError] a defect ended the worker; other workers take over what it could not write
    # @raise [Error] why the worker could not go on
    # @example
    #   worker.stop
    #   worker.wait(timeout: 30)
    def wait(timeout: nil)
      return unless @control&.join(timeout)
      raise @failure if @failure

      @summary
    end

    # @return [Boolean] whether it was started and has not stopped yet
    def running?
      @control&.alive? || false
    end

    # @return [Integer, nil] the worker's id in the database; nil before {#start}
    def id
      @native&.id
    end

    # Counts since the start: claimed, taken, completed, stale, pending_writes, events_dropped; given_back, the claims
    # given back before a handler had begun; how many claims are held; and hanging, the threads whose handlers go on
    # although others ended their attempts, and whose places were given to others.
    #
    # @return [Hash{String => Integer}] {} before {#start}
    # @example
    #   worker.stats["completed"] # => 1204
    def stats
      @native ? JSON.parse(@native.stats).merge("hanging" => @crew&.hanging || 0) : {}
    end

    private

    # In a fork of this process, where the threads are not, this changes nothing: only the pipe is shared, and a ring
    # without a reason is ignored.
    def ask_to_stop(how)
      @stop = how unless @stop == :at_once
      tell_native if @pid == Process.pid
      @wakeup&.ring
    end

    def tell_native
      @native&.drain
      @native&.hurry(0) if @stop == :at_once
    end

    def connect
      url = Client.open(@configuration) do |client|
        TaskerCore.templates.each { |template| client.register(template) }
        client.url
      end
      options = @options.native_json(url, @configuration, record_events: TaskerCore.subscriptions.wanted)
      Internal::Bridge::Worker.start(options)
    end

    def begin_work
      @wakeup = Internal::Wakeup.new
      @announcer = Internal::Announcer.new(@native, @configuration.logger, TaskerCore.subscriptions)
      TaskerCore.subscriptions.attach(@announcer)
      @crew = hire
      @control = Thread.new { control }
      @control.name = "tasker-worker"
    end

    def hire
      runner = Internal::StepRunner.new(@native, @configuration)
      Internal::Crew.new(size: @options.concurrency, inbox: Internal::Inbox.new(@native), runner: runner) do |error|
        fail_with(error) if error
        @wakeup.ring
      end
    end

    def fail_with(error)
      return if @stop == :at_once

      @failure ||= error
      stop!
    end

    def control
      look_after_crew until @stop || @crew.done?
      deadline = Internal::Clock.seconds + @options.shutdown_timeout
      @native.drain
      await_crew(deadline)
      end_work(@crew.done? ? deadline : 0.0)
    rescue Error => e
      @failure ||= e
    ensure
      @crew.kill
      tell_rest(deadline)
      @wakeup.close
    end

    def await_crew(deadline)
      until @crew.done? || @stop == :at_once
        left = deadline - Internal::Clock.seconds
        return unless left.positive?

        look_after_crew(left)
      end
    end

    # Handlers that do not end do not keep the worker from executing others, nor from its end.
    def look_after_crew(seconds = LOOK_SECONDS)
      @wakeup.wait([seconds, LOOK_SECONDS].min)
      tell_notice
      @crew.relieve
    rescue HandlersHang, InternalError => e
      fail_with(e)
    end

    def tell_notice
      notice = @native.take_notice or return

      @configuration.logger.warn { "worker #{id}: #{notice}" }
    end

    def check_connections
      Internal::HandlerConnections.check(@options.concurrency) do |warning|
        @configuration.logger.warn { "worker #{id}: #{warning}" }
      end
    end

    def tell_rest(deadline)
      TaskerCore.subscriptions.detach(@announcer)
      @announcer.finish(deadline || 0.0) { @stop == :at_once || @failure }
    end

    # Before the threads are killed: what they report afterwards is late, and the attempt is recorded as interrupted.
    # What they reported is written by the deadline, over connections that may have to be made first.
    def end_work(deadline)
      left = (deadline - Internal::Clock.seconds).clamp(0.0, Float::INFINITY)
      counts = JSON.parse(@native.stop((left * 1_000).ceil), symbolize_names: true)
      @summary = Summary.new(**counts.slice(*Summary.members)).freeze
      @configuration.logger.public_send(@summary.in_order ? :info : :warn) { "worker #{id} stopped: #{@summary.to_h}" }
    end
  end
end
