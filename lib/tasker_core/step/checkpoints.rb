# frozen_string_literal: true

require "json"
require_relative "../internal/check"
require_relative "../internal/json_text"
require_relative "waits"

module TaskerCore
  class Step
    # How a handler keeps where it has come in the middle of an attempt, and learns that the attempt is not its own any
    # more. See docs/checkpoints.md.
    #
    # @example
    #   def process(task, sequence, step)
    #     step.each_batch(1..task.context["rows"], of: 1_000) { |numbers| Import.rows(numbers) }
    #   end
    module Checkpoints
      # Writes where the next attempt is to go on. When this returns, it is in the database, whatever becomes of the
      # attempt. Where the attempt has been ended by others (its task was cancelled, its worker taken for dead), nothing
      # is written and the attempt ends here, as by {#check_cancelled!}.
      #
      # @param cursor [Object] for {#cursor} of the next attempt: what JSON can say
      # @param data [Object, nil] for {Waits#data}: what JSON can say. Default nil: what was kept before.
      # @return [void]
      # @raise [InvalidContext] what JSON cannot say, or too large
      # @raise [DatabaseUnavailable] the database does not answer for ten minutes; the checkpoint may be there then
      # @example
      #   step.checkpoint(cursor: last_id, data: { "imported" => count })
      def checkpoint(cursor:, data: nil)
        refuse_in_transaction("it makes no checkpoints, which would stay where it is rolled back")
        kept = last_wait
        json = { "cursor" => json_of(cursor, "cursor"), "data" => (json_of(data, "data") unless data.nil?) }.compact
        made = json.transform_values { |text| JSON.parse(text, freeze: true, max_nesting: false) }
        moved = made.any? { |key, value| kept[key] != value }
        cut_off unless @native.checkpoint(step_id, attempt, checkpoint_json(json, moved))
        @last_wait = { **kept, **made }.freeze
        nil
      end

      # @return [Object, nil] where this step has come at its last checkpoint, in this attempt or before, frozen; nil:
      #   it made none
      # @example
      #   first = (step.cursor || 0) + 1
      def cursor
        last_wait["cursor"]
      end

      # Yields a batch at a time and makes a checkpoint after each. An attempt after a failure or a crash goes on with
      # the first batch that was not done. {#cursor} is how many elements are done: a handler that uses this makes no
      # checkpoints of its own.
      #
      # @param elements [Enumerable] the same, in the same order, in each attempt. Of a range of whole numbers no
      #   element is skipped one by one.
      # @param of [Integer] elements of a batch, the last one may have fewer. Default 1,000.
      # @yieldparam batch [Array] of a range of whole numbers: a range
      # @return [void]
      # @raise [InvalidArgument] also without a block, and for what has no elements one after the other
      # @example
      #   step.each_batch(order_ids, of: 100) { |ids| Orders.export(ids) }
      def each_batch(elements, of: 1_000, &block)
        of = Internal::Check.count(of, "of")
        check_elements(elements)
        raise InvalidArgument, "each_batch needs a block that takes a batch" unless block

        done = cursor || 0
        slices(elements, of, done) do |batch|
          yield batch
          checkpoint(cursor: done += batch.size)
        end
        nil
      end

      # Whether others have ended this attempt: its task was cancelled or its deadline has passed, an operator has
      # skipped or resolved the step, its time is over, its worker was taken for dead or stops. What the handler returns
      # is refused then. Asks nobody: call it as often as you like. How soon it tells, docs/operations.md says.
      #
      # @return [Boolean]
      # @example
      #   break if step.cancel_requested?
      def cancel_requested?
        !@native.current(step_id, attempt)
      end

      # Ends the attempt here if {#cancel_requested?}: `ensure` is executed on the way out, `rescue` is not.
      #
      # @return [void]
      # @example
      #   rows.each do |row|
      #     step.check_cancelled!
      #     import(row)
      #   end
      def check_cancelled!
        cut_off if cancel_requested?
      end

      private

      def cut_off
        throw Waits::TAG, [:cut_off]
      end

      def json_of(value, what)
        Internal::JsonText.new(symbols: true).generate(value, what: what)
      end

      def checkpoint_json(json, moved)
        "{#{json.map { |key, text| "\"#{key}\":#{text}," }.join}\"moved\":#{moved}}"
      end

      def slices(elements, size, done, &block)
        return elements.lazy.drop(done).each_slice(size).each(&block) unless whole_numbers?(elements)

        last = elements.max || (elements.begin - 1)
        (elements.begin + done).step(last, size) { |first| block.call(first..[first + size - 1, last].min) }
      end

      def check_elements(elements)
        steps = elements.is_a?(Range) ? elements.begin.respond_to?(:succ) : elements.is_a?(Enumerable)
        return if steps

        Internal::Check.refuse("elements", elements, "an Enumerable whose elements can be counted, such as 1..10")
      end

      def whole_numbers?(elements)
        elements.is_a?(Range) && elements.begin.is_a?(Integer) && elements.end.is_a?(Integer)
      end
    end
  end
end
