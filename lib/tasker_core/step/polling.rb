# frozen_string_literal: true

require "time"
require_relative "../internal/check"
require_relative "../step_handler/errors"
require_relative "waits"

module TaskerCore
  class Step
    # How a handler looks again and again for what nobody tells it. See docs/waiting.md.
    #
    # @example
    #   def process(task, sequence, step)
    #     step.poll(every: 5, backoff: 2, timeout: 3_600) { Carrier.label(task.context["order_id"]) }
    #   end
    module Polling
      # Seconds between two looks of {#poll}.
      INTERVALS = (0.001..Waits::LONGEST)
      # The longest time between two looks that nobody has set, in seconds.
      LONG_INTERVAL = 300
      # Key of {Waits#data} under which {#poll} counts.
      POLL = "poll"

      # Returns what the block returns as soon as that is neither nil nor false. Until then the attempt ends, and begins
      # anew after a while. Counts in {Waits#data}, under "poll", and from the beginning where an operator has had the
      # step tried again.
      #
      # @param every [Numeric] seconds until the second look, above 0. Default 5.
      # @param backoff [Numeric] how much longer each further interval is, from 1 to 100. Default 1.
      # @param max [Numeric, nil] longest interval, in seconds, no less than `every`. Default nil: 300, or `every` where
      #   that is more.
      # @param timeout [Numeric, nil] seconds from the first look to the last. Default nil: for ever.
      # @yieldreturn [Object]
      # @return [Object] what the block returned
      # @raise [PollTimeout] nothing in time
      # @raise [InvalidArgument] also without a block
      # @example
      #   report = step.poll(every: 5, backoff: 2, timeout: 3_600) { Reports.find(id)&.url }
      def poll(every: 5, backoff: 1, max: nil, timeout: nil, &look)
        check_poll(every, backoff, max, timeout, look)
        found = yield
        return found if found

        times, since, now = polled(timeout)
        last = timeout && (since + timeout)
        raise PollTimeout.new("nothing in #{timeout} s", error_code: "POLL_TIMEOUT") if last && last <= now

        longest = max || [LONG_INTERVAL, every].max
        look_again([every * (backoff.to_f**times), longest, last && (last - now)].compact.min, times + 1, since, last)
      end

      private

      # Before the first look: what is wrong is known however that turns out.
      def check_poll(every, backoff, max, timeout, look)
        raise InvalidArgument, "poll needs a block that returns what is waited for" unless look

        Internal::Check.within(every, "every", INTERVALS)
        Internal::Check.within(max, "max", every..Waits::LONGEST) unless max.nil?
        Internal::Check.within(backoff, "backoff", 1..100)
        Internal::Check.optional_seconds(timeout, "timeout")
      end

      # How often this call of poll has looked before, when first, and what time it is: by the database's clock, where
      # there is a limit.
      def polled(timeout)
        @polls += 1
        now = Time.iso8601(look_at_wait(nil, nil)["now"]).to_f if timeout
        times, since = counted&.values_at("times", "since")
        [times || 0, since || now, now]
      end

      # What this call of poll, counted in the attempt, has written. A wait that an operator has begin anew has no end
      # any more.
      def counted
        state = data[POLL] if last_wait["deadline"] && data.is_a?(Hash)
        state if state.is_a?(Hash) && state["number"] == @polls
      end

      def look_again(seconds, looks, since, last)
        state = { POLL => { "number" => @polls, "times" => looks, "since" => since } }
        wait(data.is_a?(Hash) ? { **data, **state } : state,
             after_s: [seconds, Waits::LONGEST].min.to_f, poll: { looks: looks, until_us: last && us_of(last) }.compact)
      end
    end
  end
end
