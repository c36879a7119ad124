# frozen_string_literal: true

require_relative "../internal/child_process"
require_relative "../internal/handler_connections"
require_relative "../internal/process_memory"
require_relative "../internal/program"
require_relative "../internal/service_manager"
require_relative "../internal/supervisor"
require_relative "../internal/traps"
require_relative "age"
require_relative "command"
require_relative "failure"
require_relative "format"
require_relative "loader"
require_relative "worker_process"

module TaskerCore
  class CLI
    # `tasker work`: executes steps until it is told to stop.
    class Work < Command
      NAME = "work"
      SUMMARY = "execute steps until told to stop"
      DETAILS = <<~TEXT
        Stop it with Ctrl-C or TERM: it claims nothing more, lets running steps finish within the shutdown timeout
        and gives the rest back. A second one, or QUIT, stops it at once; what was cut off is executed again later.
        Both end with exit status 0, or 1 when not everything that ended could be recorded.

        With -p, --memory-limit or --hang-timeout a supervisor forks the worker processes and starts those anew that
        end. It replaces one that has more memory than the limit, and all of them, one after the other, when it gets
        USR1: a new one is started, and when it is ready, the one of before gets TERM. After USR1 they load the code
        anew. One in which no Ruby has run for the hang timeout, because a handler is in native code that keeps
        Ruby's lock, is killed, and its steps are executed anew.

        A service manager that asks for it (systemd with Type=notify, WatchdogSec=) is told when the workers are
        ready, that they stop, and that they live.

        Beside the steps it deletes tasks that ended long ago, in small batches. An AGE is a whole number and a unit
        (s, m for minutes, h, d or w), or "forever" to keep them. Every worker does: the shortest AGE of a fleet counts.
      TEXT
      EXAMPLES = ["tasker work -r config/tasker.rb",
                  "tasker work -r handlers.rb -c 10 -p 2 --queues mail,default",
                  "tasker work -r handlers.rb -p 4 --memory-limit 800",
                  "tasker work -r handlers.rb -p 4 --hang-timeout 60",
                  "tasker work -r handlers.rb --retention 30d --error-retention forever"].freeze

      # Most worker processes that one command starts.
      MAX_PROCESSES = 1000
      # Most MB of `--memory-limit`.
      MAX_MEMORY = 1_048_576
      # Seconds that a process which is replaced gets beyond its shutdown timeout, for what it has to write.
      GRACE_SECONDS = 15
      # Seconds without Ruby after which a process of several is replaced, and those that are allowed.
      HANG_TIMEOUT = 3_600.0
      HANG_TIMEOUTS = (1..31_536_000)
      # Keeps tasks.
      FOREVER = "forever"

      # Works.
      #
      # @return [Integer] exit status
      def call
        @program = Internal::Program.new
        # Until a worker or a supervisor hears signals itself, nothing has begun that would have to end.
        Internal::Traps.during("TERM" => proc { exit(OK) }, "QUIT" => proc { exit(OK) }) do
          prepare
          Internal::ChildProcess.in_program { |ready| work_below_supervisor(ready) } || begin_work
        end
      end

      private

      def prepare
        check_processes
        check_memory_limit
        check_hang_timeout
        Internal::WorkerOptions.new(**given)
        load_code
        tell_set_aside if application?
        use_database
      end

      def define_options(parser)
        require_option(parser)
        parser.on("-c", "--concurrency THREADS", Integer, "handler threads in each process (default: 5)")
        parser.on("-p", "--processes N", Integer, "worker processes below a supervisor (default: 1,",
                  "without one)")
        parser.on("--memory-limit MB", "replace a worker process that has more (default: none)")
        parser.on("--queues A,B", Array, "queues to serve (default: all)")
        parser.on("--shutdown-timeout S", Float, "seconds that running steps get to finish (default: 25)")
        parser.on("--hang-timeout S", Float, "seconds without Ruby after which a worker process is",
                  "killed by the supervisor (default: 3600)")
        parser.on("--retention AGE", "how long complete, cancelled and resolved tasks are",
                  "kept (default: 14d)")
        parser.on("--error-retention AGE", "the same for tasks in error (default: 90d)")
      end

      def processes
        options.fetch(:processes, 1)
      end

      def check_processes
        refuse("--processes must be from 1 to #{MAX_PROCESSES}, got #{processes}") unless
          processes.between?(1, MAX_PROCESSES)
      end

      def supervised?
        !(options.keys & %i[processes memory-limit hang-timeout]).empty?
      end

      def check_memory_limit
        text = options[:"memory-limit"] or return

        refuse("--memory-limit must be a whole number of MB from 1 to #{MAX_MEMORY}, got #{text.inspect}") unless
          text.match?(/\A[0-9]+\z/) && text.to_i.between?(1, MAX_MEMORY)
      end

      # A limit below what the code alone takes would have processes replaced for ever.
      def check_memory_at_start(limit)
        used = Internal::ProcessMemory.megabytes(Process.pid)
        refuse("--memory-limit reads /proc, which this system does not have") unless used
        return if used < limit

        refuse("--memory-limit is #{limit} MB, but with its code loaded a process has #{used} MB already; give it more")
      end

      def hang_timeout
        options.fetch(:"hang-timeout", HANG_TIMEOUT)
      end

      def check_hang_timeout
        return if HANG_TIMEOUTS.cover?(hang_timeout)

        refuse("--hang-timeout must be from #{HANG_TIMEOUTS.min} to #{HANG_TIMEOUTS.max} seconds, got #{hang_timeout}")
      end

      # In an application there may be nothing more to load, and no template where it has jobs only. A template that
      # cannot be loaded is found before a process is started.
      def load_code
        return Loader.load(options[:require]) if options[:require]

        refuse("missing -r FILE: it loads the handlers and templates") if TaskerCore.templates.empty? && !application?
      end

      # What workers write to the log as well, which the application may have elsewhere.
      def begin_work
        Internal::HandlerConnections.check(settings[:concurrency]) { |warning| output.note("tasker: #{warning}") }
        supervised? ? supervise : work_alone
      end

      # Elsewhere the log goes to the same stream.
      def tell_set_aside
        TaskerCore.registry.aside.each_value do |error|
          output.note("tasker: #{error.message}; #{Internal::Templates::SET_ASIDE}")
        end
      end

      # What the worker is made with: the options here, then those of the configuration.
      def settings
        @settings ||= Internal::WorkerOptions.new(**TaskerCore.configuration.worker, **given).values
      end

      def given
        given = options.transform_keys { |name| name.to_s.tr("-", "_").to_sym }
        given.slice(:concurrency, :queues, :shutdown_timeout).merge(ages)
      end

      def ages
        names = %i[retention error-retention] & options.keys
        names.to_h do |name|
          [name.to_s.tr("-", "_").to_sym, options[name] == FOREVER ? nil : Age.seconds("--#{name}", options[name])]
        end
      end

      def work_alone
        manager = Internal::ServiceManager.new(logger: TaskerCore.configuration.logger)
        process = WorkerProcess.new(settings, output, manager: manager)
        manager.while_alive { process.work { manager.ready(process.capacity) } }
      end

      def work_below_supervisor(ready)
        WorkerProcess.new(settings, output).work(&ready)
      end

      # What would stop every process is found, and told, before any is started.
      def supervise
        limit = options[:"memory-limit"]&.to_i
        check_memory_at_start(limit) if limit
        Client.open(&:workers)
        output.line("starting #{Format.many(processes, "worker process", "worker processes")} " \
                    "(supervisor: pid #{Process.pid})")
        supervisor(limit).run
      end

      def supervisor(limit)
        failure = Failure.new(output, debug: ENV["TASKER_DEBUG"] == "1")
        Internal::Supervisor.new(processes: processes, logger: TaskerCore.configuration.logger,
                                 leave_seconds: settings[:shutdown_timeout] + GRACE_SECONDS, program: @program,
                                 hang_timeout: hang_timeout,
                                 look: limit && ->(pid) { too_large(pid, limit) }) do |_number, ready|
          failure.guard { work_below_supervisor(ready) }
        end
      end

      def too_large(pid, limit)
        used = Internal::ProcessMemory.megabytes(pid)
        "it has #{used} MB, --memory-limit is #{limit}" if used && used > limit
      end
    end
  end
end
