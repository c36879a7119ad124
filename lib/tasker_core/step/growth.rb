# frozen_string_literal: true

require "json"
require_relative "../errors"
require_relative "../internal/check"
require_relative "../internal/json_text"
require_relative "../step_handler/errors"

module TaskerCore
  class Step
    # How a handler adds steps to its task, and what the handler of a map step is given. See docs/decomposition.md and
    # docs/map.md.
    #
    # @example
    #   def process(task, sequence, step)
    #     pages = Scan.pages(task.context["document"])
    #     pages.each { |page| step.add("page_#{page}", like: "scan_page", inputs: { page: page }, before: "report") }
    #     pages.size
    #   end
    module Growth
      # Code of attempts that add what cannot be added.
      INVALID = "INVALID_GROWTH"

      # Adds a step to the task, at the moment at which this attempt succeeds; one that fails or waits adds nothing.
      #
      # @param name [String, Symbol] 1 to 512 bytes, and a name that no other step of the task has
      # @param like [String, Symbol] a step of the template with `dynamic: true`, whose handler executes it, and whose
      #   retry policy, queue, timeout and config it has
      # @param inputs [Object, nil] what JSON can say, at most 64 KiB: {Step#inputs} of the added step. Default {}.
      # @param depends_on [String, Symbol, Array, nil] names of steps that it waits for: steps that are done, and
      #   steps that this attempt adds. Default nil: this step; [] for none.
      # @param before [String, Symbol, Array] names of steps that are pending and are to wait for it. Default none.
      # @return [String] the name
      # @raise [PermanentError] no name, or one that this attempt has added before; inputs that JSON cannot say
      # @example
      #   step.add("notify_7", like: "notify", inputs: { user: 7 }, before: "close")
      def add(name, like:, inputs: nil, depends_on: nil, before: [])
        refuse_in_transaction("it adds no steps; have another step add them")
        name = Internal::Check.text(name, "name")
        @growing ||= {}
        Internal::Check.refuse("name", name, "a name that was not added before") if @growing.key?(name)

        attributes = { name: name, like: Internal::Check.text(like, "like"),
                       depends_on: depends_on.nil? ? nil : names(depends_on), before: names(before) }
        @growing[name] = growth_json(attributes.compact, inputs)
        name
      rescue InvalidArgument, InvalidContext => e
        raise Growth.refusal(e)
      end

      # @api private
      # @param error [Error] why what is added is refused
      # @return [PermanentError] what the attempt ends with: every other one would add the same
      def self.refusal(error)
        PermanentError.new("the steps that the handler adds are refused: #{error.message}", error_code: INVALID)
      end

      # @api private
      # @param added [Array, nil] name, inputs as JSON and number of the item of a step that was added
      # @return [self]
      def added_with(added)
        @added = added
        self
      end

      # @api private
      # @return [Array, nil] name, inputs as JSON and number of the item of a step that was added
      attr_reader :added

      # @api private
      # @return [String, nil] what is added, a JSON array; nil where nothing is
      def growth
        @growing && "[#{@growing.values.join(",")}]"
      end

      # @return [Object, nil] the item that a map step is executed for, frozen; nil for any other step
      # @example
      #   Thumbnail.make(step.item["path"])
      def item
        item_index && added_inputs
      end

      # @return [Integer, nil] the number of the item, from 0; nil for a step that is executed for no item
      def item_index
        @added && @added[2]
      end

      private

      def names(names)
        [*names].map { |name| Internal::Check.text(name, "step") }
      end

      # The inputs are JSON already when the rest is written.
      def growth_json(attributes, inputs)
        json = JSON.generate(attributes)
        return json if inputs.nil?

        writer = Internal::JsonText.new(symbols: true, records: true)
        text = writer.generate(inputs, what: "inputs of #{attributes.fetch(:name)}")
        "#{json.delete_suffix("}")},\"inputs\":#{text}}"
      end

      def added_inputs
        @added_inputs ||= Internal::GlobalIds.located(plain_added_inputs, @added[1], "inputs")
      end

      def plain_added_inputs
        @plain_added_inputs ||= JSON.parse(@added[1], freeze: true, max_nesting: false)
      end
    end
  end
end
