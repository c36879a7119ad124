# frozen_string_literal: true

require "json"
require "time"
require_relative "../internal/check"
require_relative "../internal/json_text"
require_relative "../step_handler/errors"

module TaskerCore
  class Step
    # A signal that was sent to the task.
    #
    # @!attribute [r] id
    #   @return [Integer] a later one of the task has a higher id
    # @!attribute [r] name
    #   @return [String]
    # @!attribute [r] payload
    #   @return [Object, nil] frozen
    # @!attribute [r] actor
    #   @return [String, nil] who sent it
    # @!attribute [r] sent_at
    #   @return [Time]
    Signal = Struct.new(:id, :name, :payload, :actor, :sent_at, keyword_init: true)

    # How a handler waits. The attempt ends, no thread is held, and when the time has come, or the signal, `process` is
    # called again from its beginning, perhaps in another process. Such an attempt is no failure. See docs/waiting.md.
    #
    # @example
    #   def process(task, sequence, step)
    #     step.sleep_until(Time.iso8601(task.context["ships_at"]))
    #     approval = step.wait_for("approved", timeout: 3 * 86_400)
    #     Carrier.ship(task.context["order_id"], approved_by: approval["by"])
    #   end
    module Waits
      # What is caught where an attempt that waits ends.
      TAG = :tasker_core_wait
      # The longest that a handler can wait for a time, in seconds: 365 days.
      LONGEST = 365 * 86_400
      # The times that the database can tell, in microseconds since 1970.
      TIMES_US = (0..253_402_300_799_000_000).freeze

      # Ends the attempt and begins anew so much later. Once the time is over, a handler that comes here again waits
      # again: ask {#waits} or {#data}, or use {#sleep_until}.
      #
      # @param seconds [Numeric] at most 365 days count
      # @param data [Object, nil] for {#data} of the next attempt: what JSON can say. Default nil: what was kept before.
      # @raise [InvalidArgument] no number of seconds
      # @example
      #   step.sleep_for(3_600) if step.waits.zero?
      def sleep_for(seconds, data: nil)
        seconds = Internal::Check.seconds(seconds, "seconds").to_f
        wait(data, after_s: [seconds, LONGEST].min)
      end

      # Ends the attempt and begins anew at that time; returns when it has come.
      #
      # @param time [Time, #to_time] at most 365 days from now count
      # @param data [Object, nil] for {#data} of the next attempt: what JSON can say. Default nil: what was kept before.
      # @return [nil]
      # @raise [InvalidArgument] no time
      # @example
      #   step.sleep_until(Time.utc(2027, 1, 1))
      def sleep_until(time, data: nil)
        time = time.respond_to?(:to_time) ? time.to_time : Internal::Check.refuse("time", time, "a time")
        at_us = us_of(time)
        wait(data, at_us: at_us) unless Time.now >= time || slept_until?(at_us)
      end

      # What the first signal of a name carries that was sent to the task, before or after the step began. Without one
      # the attempt ends; the signal, or the end of the timeout, begins it anew. A signal is not used up: it is there
      # in each attempt, and for each step that asks for it.
      #
      # @param name [String, Symbol] 1 to 128 bytes; not as those that the engine sends, "tasker_core." and more
      # @param timeout [Numeric, nil] seconds from the first attempt that waits for it, at most 365 days. Default nil:
      #   for ever.
      # @param after [Integer, nil] id of a signal: only later ones count. Default nil: all.
      # @param data [Object, nil] for {#data} of the next attempt: what JSON can say. Default nil: what was kept before.
      # @return [Object, nil] frozen
      # @raise [SignalTimeout] none came in time; a handler that rescues it may wait again
      # @raise [InvalidArgument]
      # @example
      #   approval = step.wait_for("approved", timeout: 3 * 86_400)
      #   approval["by"]
      def wait_for(name, timeout: nil, after: nil, data: nil)
        name = Internal::Check.text(name, "name")
        timeout = Internal::Check.optional_seconds(timeout, "timeout")
        after &&= Internal::Check.id(after, "after")
        look = look_at_wait(name, after)
        return look["signal"]["payload"] if look["signal"]

        raise expired(name) if look["timed_out"] && !@expired.include?(name)

        wait(data, signal: name, after_signal: after, **limit(name, timeout, look["deadline"]))
      end

      # The first signal of a name that was sent to the task. Does not wait.
      #
      # @param name [String, Symbol]
      # @param after [Integer, nil] id of a signal: only later ones count. Default nil: all.
      # @return [Signal, nil] frozen
      # @raise [InvalidArgument]
      # @example
      #   step.signal("cancel_order")&.actor # => "mara"
      def signal(name, after: nil)
        name = Internal::Check.text(name, "name")
        sent = look_at_wait(name, after && Internal::Check.id(after, "after"))["signal"]
        sent && Signal.new(id: sent["id"], name: name, payload: sent["payload"], actor: sent["actor"],
                           sent_at: Time.iso8601(sent["sent_at"])).freeze
      end

      # @api private
      # @param name [String] of a signal
      # @return [Boolean] whether the step waited for it last, and it did not come in time
      def waited_in_vain?(name)
        look = look_at_wait(name, nil)
        look["timed_out"] && look["signal"].nil?
      end

      # @return [Integer] how often the step has waited, in all its attempts
      # @example
      #   remind(task) if step.waits == 1
      def waits
        last_wait["waits"]
      end

      # @return [Object, nil] what this step's handler kept when it waited last or made a checkpoint, frozen
      # @example
      #   page = step.data ? step.data["page"] : 1
      def data
        last_wait["data"]
      end

      private

      def wait(data, **what)
        throw TAG, [:wait, wait_json(data, what)]
      end

      # The data are JSON already when the rest is written.
      def wait_json(data, what)
        json = JSON.generate(what.compact)
        return json if data.nil?

        "#{json.delete_suffix("}")},\"data\":#{Internal::JsonText.new(symbols: true).generate(data, what: "data")}}"
      end

      # Nothing is asked of the database in the first attempt.
      def last_wait
        @last_wait ||= attempt == 1 ? { "waits" => 0 }.freeze : look_at_wait(nil, nil)
      end

      def look_at_wait(name, after)
        JSON.parse(@native.look_at_wait(step_id, name, after), freeze: true, max_nesting: false)
      end

      # The database's clock has said so, which may be ahead of this machine's.
      def slept_until?(at_us)
        return false if attempt == 1 || !last_wait["timed_out"]

        us_of(Time.iso8601(last_wait["deadline"])) >= at_us
      end

      # A wait that goes on keeps its end.
      def limit(name, timeout, deadline)
        return {} if timeout.nil?
        return { after_s: [timeout.to_f, LONGEST].min } if deadline.nil? || @expired.include?(name)

        { at_us: us_of(Time.iso8601(deadline)) }
      end

      def expired(name)
        @expired << name
        SignalTimeout.new("the signal #{name.inspect} did not come in time",
                          error_code: "SIGNAL_TIMEOUT", context: { "signal" => name })
      end

      # A time, or seconds since 1970, as near as the database can tell it.
      def us_of(time)
        (time.to_r * 1_000_000).ceil.clamp(TIMES_US.begin, TIMES_US.end)
      end
    end
  end
end
