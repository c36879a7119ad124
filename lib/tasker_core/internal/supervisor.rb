# frozen_string_literal: true

require_relative "child_process"
require_relative "clock"
require_relative "interval"
require_relative "place"
require_relative "pulse"
require_relative "replacements"
require_relative "service_manager"
require_relative "traps"
require_relative "wakeup"

module TaskerCore
  module Internal
    # Keeps a number of forked worker processes alive and ends with them.
    #
    # * TERM or INT: passed on as TERM, so that children finish what runs; a second one, or QUIT: passed on as QUIT,
    #   at once.
    # * A child that ends by itself is replaced, after a pause that doubles up to {Place::MAX_PAUSE} while children keep
    #   ending soon. A child that ends with {REFUSED} in the first {Place::SETTLED} seconds cannot work at all (no
    #   database, wrong schema): then all are ended.
    # * USR1, or a look that finds a reason: a child is replaced by {Replacements}, all of them by USR1.
    # * A child in which no Ruby has run for `hang_timeout` since it was ready, because a native function keeps Ruby's
    #   lock, is killed: it hears no other signal.
    # * If the supervisor dies, each child gets TERM.
    class Supervisor
      # Signals that ask to stop.
      SIGNALS = %w[TERM INT QUIT].freeze
      # The signal that asks for other children.
      REPLACE = "USR1"
      # Exit status of a child that would fail again in the same way.
      REFUSED = 2

      # Seconds between two looks at the children.
      LOOK_SECONDS = 5.0
      # Seconds in which a child that is replaced has to end.
      LEAVE_SECONDS = 60.0

      # @param processes [Integer] number of children
      # @param logger [Logger]
      # @param leave_seconds [Numeric] in which a child has to end that is replaced; else it is killed
      # @param hang_timeout [Numeric, nil] seconds. Default nil: no child is killed that runs no Ruby.
      # @param look [#call, nil] is called with the pid of each child again and again; says why it is to be replaced, or
      #   nil. Default nil.
      # @param program [Program, nil] what children are from the first {REPLACE} on, so that they have code that was
      #   changed: it calls {ChildProcess.in_program}. Default nil: they are forked, as before.
      # @yield [number, ready] in each child; number from 0; ready is called by it when it works. TERM and QUIT are the
      #   block's own affair: until it traps them, they end the process.
      # @yieldreturn [Integer] exit status of the child
      # @example
      #   exit Supervisor.new(processes: 4, logger: logger) { |number, ready| run_worker(number, ready) }.run
      def initialize(processes:, logger:, leave_seconds: LEAVE_SECONDS, hang_timeout: nil, look: nil, # rubocop:disable Metrics/ParameterLists -- how many, and what each must keep to
                     program: nil, &body)
        @logger = logger
        @hang_timeout = hang_timeout
        @body = body
        @places = Array.new(processes) { |number| Place.new(number) }
        @replacements = Replacements.new(logger: logger, leave_seconds: leave_seconds) { |number| start(number) }
        @look = look
        @looks = Interval.new(look && LOOK_SECONDS)
        @program = program
        @manager = ServiceManager.new(logger: logger)
        @beats = Interval.new(@manager.beat_seconds)
        @signals = []
        @stopping = @anew = false
        @status = 0
        @started = Clock.seconds
      end

      # Forks the children and waits until the last one has ended.
      #
      # @return [Integer] exit status: 0, or that of the first child that made all stop or failed while stopping
      # @example
      #   exit supervisor.run
      def run
        @wakeup = Wakeup.new
        @lifeline = ChildProcess.lifeline
        @pulse = Pulse.new(@hang_timeout) if @hang_timeout
        Traps.during(answers) do
          supervise
          @status
        ensure
          end_children
        end
      ensure
        [@wakeup, *@lifeline, *@pulse].each(&:close)
      end

      private

      def answers
        [*SIGNALS, REPLACE].to_h { |signal| [signal, proc { note(signal) }] }.merge("CHLD" => proc { @wakeup.ring })
      end

      def note(signal)
        @signals << signal
        @wakeup.ring
      end

      def supervise
        until @stopping && children.empty?
          go_on
          @wakeup.wait(next_due, children.filter_map(&:news))
          take_signals
          reap
          look if @looks.due?
          # What is not ready yet may be loading code, and does not beat.
          @pulse&.kill_silent(children.select(&:ready?), @logger)
        end
      end

      def children
        @places.filter_map(&:child) + @replacements.children
      end

      def go_on
        @manager.alive if @beats.due?
        return if @stopping

        @replacements.go_on
        fork_due
        tell_manager
      end

      def fork_due
        @places.each do |place|
          next unless place.left&.<= 0

          place.child = start(place.number)
          place.postpone(0) unless place.child
        end
      end

      def start(number)
        child = @anew ? ChildProcess.start_program(@lifeline, @program, @pulse) : fork_child(number)
        @logger.info { "started worker process #{number} with pid #{child.pid}" }
        child
      rescue SystemCallError => e
        @logger.error { "worker process #{number} cannot be started: #{e.message}" }
        nil
      end

      # A signal that came before the parent's traps were reset in the child lies in its copy of @signals.
      def fork_child(number)
        ChildProcess.start(@lifeline, @pulse) { |ready| @signals.intersect?(SIGNALS) ? 0 : @body.call(number, ready) }
      end

      def next_due
        always = [@beats.left, @pulse&.left]
        return always.compact.min if @stopping

        forks = @places.filter_map(&:left).map { |left| [left, 0].max }
        [*always, *forks, @replacements.left, @looks.left].compact.min
      end

      def tell_manager
        ready = @places.count { |place| place.child&.ready? }
        text = ["#{ready} of #{@places.size} processes are ready", @replacements.text].compact.join("; ")
        ready < @places.size ? @manager.status(text) : @manager.ready(text)
      end

      def take_signals
        while (signal = @signals.shift)
          signal == REPLACE ? replace_all : pass_on(signal)
        end
      end

      def replace_all
        @anew = !@program.nil?
        @places.each { |place| replace(place, "#{REPLACE} asks for it") }
      end

      # The one way by which a child is replaced that has not ended.
      def replace(place, reason)
        @replacements.ask(place, reason) if place.child && !@stopping
      end

      def pass_on(signal)
        at_once = @stopping || signal == "QUIT"
        stop_all(at_once ? "QUIT" : "TERM")
      end

      def stop_all(signal)
        @manager.stopping unless @stopping
        @stopping = true
        children.each { |child| child.signal(signal) }
      end

      def look
        @places.each do |place|
          reason = place.child&.ready? && @look.call(place.child.pid)
          replace(place, reason) if reason
        end
      end

      def reap
        @places.each { |place| ended(place) while place.child&.ended? }
      end

      def ended(place)
        child = place.child
        place.child = @replacements.release(place)
        @logger.public_send(@stopping ? :info : :error) { "worker process #{child.pid} ended: #{child.status}" }
        return keep_status(child) if @stopping
        return refuse(child) if refused?(child)

        place.postpone(child.age)
      end

      def refused?(child)
        child.status == REFUSED && Clock.seconds - @started < Place::SETTLED
      end

      def refuse(child)
        @status = child.status
        stop_all("TERM")
      end

      def keep_status(child)
        @status = child.status if @status.zero? && !child.ended_as_asked?
      end

      # Only where {#supervise} was left by an exception.
      def end_children
        children.each { |child| child.signal("KILL") }
        children.each(&:wait)
      end
    end
  end
end
