# frozen_string_literal: true

require_relative "errors"
require_relative "internal/check"
require_relative "internal/clock"
require_relative "internal/failure_report"
require_relative "internal/wakeup"
require_relative "recorded_event"
require_relative "subscription"

module TaskerCore
  # All changes of state of a database, of all processes, from the history: in batches, in an order in which none comes
  # before one that it follows from, without a gap. See docs/events.md.
  #
  # A feed with the name of a consumer keeps its position in the database and moves it when the block has returned: each
  # event is given out once, and again where the block raised or the process ended before. One without a name keeps
  # none: a program that stores {#cursor} in its own transaction takes each event exactly once.
  #
  # @example
  #   TaskerCore::Feed.new("billing", from: :beginning, events: ["task.completed"]).each_batch do |events|
  #     events.each { |event| Invoice.create_for(event.task_id) }
  #   end
  # @example exactly once, with the cursor in the program's own database
  #   feed = TaskerCore::Feed.new(from: Cursor.first.number)
  #   feed.each_batch do |events, cursor|
  #     Cursor.transaction { book(events) and Cursor.first.update!(number: cursor) }
  #   end
  class Feed
    # Seconds between the first two looks for more, and the longest time between two.
    INTERVALS = [0.01, 0.5].freeze
    # How much longer each interval is than the one before.
    GROWTH = 1.5
    # Seconds without events after which it is found out whom the feed waits for.
    PATIENCE = 2.0
    # Most events in a batch.
    MOST_EVENTS = 10_000
    # Numbers that a consumer passes over without an event before its position is kept nevertheless.
    UNKEPT = 10_000

    # @return [String, nil] the consumer's name
    attr_reader :consumer
    # @return [Integer, nil] the number of the last event that was taken, or where the feed began; nil before the first
    #   batch
    attr_reader :cursor
    # @return [Integer] changes of state that were pruned before the consumer took them
    attr_reader :missed

    # @param consumer [String, nil] 1 to 128 bytes. Default nil: the database keeps no position.
    # @param from [Symbol, Integer] where to begin without a position: :now, :beginning, or after the event of this
    #   number. Default :now.
    # @param events [Array<String>] names of events, "step.*", "task.*" or "*". Default: all of them.
    # @param client [Client] Default: {TaskerCore.client}.
    # @raise [InvalidArgument]
    # @example
    #   feed = TaskerCore::Feed.new("billing", from: :beginning)
    def initialize(consumer = nil, from: :now, events: [], client: TaskerCore.client)
      @consumer = Internal::Check.optional_text(consumer, "consumer")
      @from = position_of(from)
      @names = names_of(events)
      @client = client
      @missed = 0
      @cursor = @place = @reader = @wakeup = nil
      @stopped = false
    end

    # Gives out events in batches, until {#stop} is called. While it follows, it waits for a database that does not
    # answer.
    #
    # @param size [Integer] events in a batch at most, 1 to 10,000. Default 1,000.
    # @param follow [Boolean] wait for more at the end; otherwise it returns there. Default true.
    # @param waiting [#call, nil] called about every two seconds while events are held back by a transaction, with
    #   "who" and "age_s". Default nil.
    # @yieldparam events [Array<RecordedEvent>] at least one
    # @yieldparam cursor [Integer] to go on from after these
    # @return [void]
    # @raise [FeedTaken] another process, or another feed of this one, reads for this consumer by now
    # @raise [InvalidArgument] `from` is beyond the last event
    # @raise [DatabaseError] at first also where this user of the database may not make the indexes of the feed
    # @example
    #   feed.each_batch(follow: false) { |events| puts events.map(&:name) }
    def each_batch(size: 1_000, follow: true, waiting: nil, &block)
      raise InvalidArgument, "a feed needs a block that takes the events" unless block

      @size = Internal::Check.whole(size, "size", 1..MOST_EVENTS)
      @follow = Internal::Check.flag(follow, "follow")
      @waiting = called(waiting)
      @wakeup = Internal::Wakeup.new
      open unless @place
      go_on(&block)
    ensure
      @wakeup&.close
    end

    # Has {#each_batch} return after the batch that it is at. May be called from another thread and from a signal trap.
    #
    # @return [void]
    # @example
    #   trap("TERM") { feed.stop }
    def stop
      @stopped = true
      @wakeup&.ring
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{@consumer || "without a consumer"} at #{@cursor || "the start"}>"
    end

    private

    # @return [Integer, nil] nil: now
    def position_of(from)
      return if from == :now
      return 0 if from == :beginning
      return from if from.is_a?(Integer) && from.between?(0, Internal::Check::MAX_ID)

      Internal::Check.refuse("from", from, ":now, :beginning or the number of an event")
    end

    def called(waiting)
      return waiting if waiting.nil? || waiting.respond_to?(:call)

      Internal::Check.refuse("waiting", waiting, "nil or what can be called, such as a lambda")
    end

    def names_of(patterns)
      return if patterns.empty?

      names = Subscription.new(patterns) { nil }.numbers.map { |number| Event::NAMES[number] }
      told = names.reject { |name| name.start_with?("worker.") }
      return told unless told.empty?

      Internal::Check.refuse("events", patterns, "events of steps and tasks: workers are in no history")
    end

    def open
      opened = @client.open_feed({ consumer: @consumer, from: @from })
      @cursor, @reader, @missed = opened.values_at("position", "reader", "missed")
      @kept = @cursor
      @place = { "position" => @cursor }
    end

    def go_on(&block)
      interval, longest = INTERVALS
      idle_since = Internal::Clock.seconds
      until @stopped
        if take(&block)
          interval = INTERVALS.first
          idle_since = Internal::Clock.seconds
        else
          break unless @follow

          idle_since = explain(idle_since)
          @wakeup.wait(interval)
          interval = [interval * GROWTH, longest].min
        end
      end
    end

    # @return [Boolean] whether there was something
    def take
      batch = read
      events = batch.fetch("events").map { |attributes| RecordedEvent.new(attributes) }
      yield events, events.last.number unless events.empty?
      @place = batch.fetch("place")
      @cursor = events.last.number if events.any?
      keep if events.any? || @place["position"] - @kept > UNKEPT
      events.any?
    end

    def read
      batch = persist { @client.read_feed(reading) }
      @missed = batch.fetch("missed")
      batch
    end

    def keep
      return unless @consumer

      persist { @client.move_feed(reading) }
      @kept = @place["position"]
    end

    def reading(**more)
      { consumer: @consumer, reader: @reader, place: @place, limit: @size, names: @names, **more }
    end

    # Moving a position to where it is already changes nothing.
    def persist
      yield
    rescue Error => e
      raise unless @follow && e.retryable? && !@stopped

      TaskerCore.configuration.logger.warn { "the feed waits for the database: #{Internal::FailureReport.line(e)}" }
      @wakeup.wait(INTERVALS.last)
      retry
    end

    # @return [Float] since when nothing was said
    def explain(idle_since)
      return idle_since unless @waiting && Internal::Clock.seconds - idle_since > PATIENCE

      held_back_by = @client.read_feed(reading(explain: true, limit: 1))["held_back_by"]
      @waiting.call(held_back_by) if held_back_by
      Internal::Clock.seconds
    end
  end
end
