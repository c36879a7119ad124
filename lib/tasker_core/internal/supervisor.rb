# frozen_string_literal: true

require_relative "child_process"
require_relative "pulse"
require_relative "wakeup"
require_relative "clock"

module TaskerCore
  module Internal
    # Keeps a number of forked worker processes alive and ends with them.
    #
    # * TERM or INT: passed on as TERM, so that children finish what runs; a second one, or QUIT: passed on as QUIT,
    #   at once.
    # * A child that ends by itself is replaced, after a pause that doubles up to {MAX_PAUSE} while children keep ending
    #   soon. A child that ends with {REFUSED} in the first {SETTLED} seconds cannot work at all (no database, wrong
    #   schema): then all are ended.
    # * A child in which no Ruby has run for `hang_timeout`, because a native function keeps Ruby's lock, is killed: it
    #   hears no other signal.
    # * If the supervisor dies, each child gets TERM.
    class Supervisor
      # Signals that ask to stop.
      SIGNALS = %w[TERM INT QUIT].freeze
      # Exit status of a child that would fail again in the same way.
      REFUSED = 2
      # Seconds before a child that ended is replaced, the first and the longest pause.
      FIRST_PAUSE = 0.5
      MAX_PAUSE = 30.0
      # A process that lived this many seconds did not end soon.
      SETTLED = 60.0

      # A place for a child: the child, when to fork the next, how long to pause then.
      Slot = Struct.new(:child, :due, :pause)
      private_constant :Slot

      # @param processes [Integer] number of children
      # @param logger [Logger]
      # @param hang_timeout [Numeric, nil] seconds. Default nil: no child is killed.
      # @yield [number] in each child; number from 0. TERM and QUIT are the block's own affair: until it traps them,
      #   they end the process.
      # @yieldreturn [Integer] exit status of the child
      # @example
      #   exit Supervisor.new(processes: 4, logger: logger) { |number| run_worker(number) }.run
      def initialize(processes:, logger:, hang_timeout: nil, &body)
        @logger = logger
        @hang_timeout = hang_timeout
        @body = body
        @slots = Array.new(processes) { Slot.new(nil, Clock.seconds, FIRST_PAUSE) }
        @signals = []
        @stopping = false
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
        traps = trap_signals
        supervise
        @status
      ensure
        end_children
        traps&.each { |signal, handler| trap(signal, handler || "DEFAULT") }
        [@wakeup, *@lifeline, *@pulse].each(&:close)
      end

      private

      def trap_signals
        traps = SIGNALS.to_h { |signal| [signal, trap(signal) { note(signal) }] }
        traps.merge("CHLD" => trap("CHLD") { @wakeup.ring })
      end

      def note(signal)
        @signals << signal
        @wakeup.ring
      end

      def supervise
        until @stopping && children.empty?
          fork_due
          @wakeup.wait([next_due, @pulse&.left].compact.min)
          pass_on_signals
          reap
          kill_silent if @pulse
        end
      end

      def children
        @slots.filter_map(&:child)
      end

      def fork_due
        return if @stopping

        @slots.each_with_index do |slot, number|
          next if slot.child || slot.due > Clock.seconds

          slot.child = ChildProcess.start(@lifeline, @pulse) { work(number) }
          @logger.info { "started worker process #{number} with pid #{slot.child.pid}" }
        end
      end

      # In the child. A signal that came before the parent's traps were reset in it lies in its copy of @signals.
      def work(number)
        @signals.empty? ? @body.call(number) : 0
      end

      def next_due
        dues = @stopping ? [] : @slots.reject(&:child).map(&:due)
        dues.min && [dues.min - Clock.seconds, 0].max
      end

      def pass_on_signals
        while (signal = @signals.shift)
          at_once = @stopping || signal == "QUIT"
          @stopping = true
          children.each { |child| child.signal(at_once ? "QUIT" : "TERM") }
        end
      end

      def reap
        @slots.each { |slot| ended(slot) if slot.child&.ended? }
      end

      def ended(slot)
        child = slot.child
        slot.child = nil
        @logger.public_send(@stopping ? :info : :error) { "worker process #{child.pid} ended: #{child.status}" }
        return keep_status(child) if @stopping

        refused?(child) ? stop_all(child) : schedule(slot, child.age)
      end

      def kill_silent
        silent = @pulse.silent(children.map(&:pid))
        children.select { |child| silent.include?(child.pid) }.each do |child|
          @logger.error do
            "worker process #{child.pid} has run no Ruby for #{@hang_timeout} s, because a native function keeps " \
              "Ruby's lock: it is killed, and what it held is executed by others"
          end
          child.signal("KILL")
        end
      end

      def refused?(child)
        child.status == REFUSED && Clock.seconds - @started < SETTLED
      end

      def stop_all(child)
        keep_status(child)
        @stopping = true
        children.each { |other| other.signal("TERM") }
      end

      def keep_status(child)
        @status = child.status if @status.zero? && !child.ended_as_asked?
      end

      def schedule(slot, age)
        slot.pause = FIRST_PAUSE if age >= SETTLED
        slot.due = Clock.seconds + slot.pause
        slot.pause = [slot.pause * 2, MAX_PAUSE].min
      end

      # Only where {#supervise} was left by an exception.
      def end_children
        children.each { |child| child.signal("KILL") }
        children.each(&:wait)
      end
    end
  end
end
