# frozen_string_literal: true

require_relative "../errors"
require_relative "json_text"

module TaskerCore
  module Internal
    # What classes of ActiveSupport::CurrentAttributes hold where a task is submitted, and hold again around its steps.
    # Which classes, {Configuration#current_attributes} says.
    module CurrentAttributes
      # The key under which a context holds them.
      KEY = "tasker_current_attributes"
      # What the name of the setting begins messages with.
      SETTING = "current_attributes"

      module_function

      # @param names [Array<String>] of the classes
      # @return [String, nil] JSON: what they hold but nil, by class and attribute; nil where that is nothing
      # @raise [InvalidContext] one of them holds what JSON cannot say
      # @raise [ConfigurationError] there is no such class
      # @example
      #   CurrentAttributes.json(["Current"]) # => '{"Current":{"request_id":"b7"}}'
      def json(names)
        return if names.empty?

        held = names.to_h { |name| [name, find(name).instance.attributes.compact] }.reject { |_, said| said.empty? }
        JsonText.new(records: true).generate(held, what: SETTING) if held.any?
      end

      # @param names [Array<String>] of the classes
      # @return [void]
      # @raise [ConfigurationError] there is no such class
      # @example
      #   CurrentAttributes.check(["Current"])
      def check(names)
        names.each { |name| find(name) }
      end

      # Has them hold what they held where the task was submitted, for the time of an attempt. Attributes that the
      # class does not have any more are left out.
      #
      # @param task [Task]
      # @param _step [Step]
      # @yield [] executes the attempt
      # @return [Object] what the block returned
      # @raise [PermanentError] a record that they held is gone
      # @example
      #   CurrentAttributes.call(task, step) { handler.process(task, sequence, step) }
      def call(task, _step, &attempt)
        names = TaskerCore.configuration.current_attributes
        return yield if names.empty?

        held = task.current_attributes(names)
        held.reverse_each.inject(attempt) { |inner, (name, said)| -> { set(find(name), said, &inner) } }.call
      end

      # @api private
      def set(type, said, &block)
        known = said.transform_keys(&:to_sym).select { |name, _| type.respond_to?("#{name}=") }
        # Rails 7.2 gives the block the instance, which a lambda would not take.
        type.set(**known) { |*| block.call }
      end

      # @api private
      def find(name)
        type = Object.const_get(name)
        return type if type.is_a?(Class) && type <= ::ActiveSupport::CurrentAttributes

        refuse(name, "is not a class of ActiveSupport::CurrentAttributes")
      rescue NameError => e
        raise if e.is_a?(NoMethodError)

        refuse(name, "cannot be found (#{e.message.lines.first.chomp})")
      end

      # @api private
      def refuse(name, problem)
        raise ConfigurationError.new("#{SETTING} names #{name}, which #{problem}",
                                     details: { "key" => SETTING, "value" => name })
      end
    end
  end
end
