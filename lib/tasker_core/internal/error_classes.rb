# frozen_string_literal: true

module TaskerCore
  module Internal
    # What failures by exceptions of certain classes mean, by tables of the user's: name of a class or module =>
    # "retryable", "permanent" or "blocked". By names, because a table is read where the classes may not be loaded.
    class ErrorClasses
      # What a failure may mean.
      KINDS = %w[retryable permanent blocked].freeze
      # The name of a class, complete.
      NAME = /\A[[:upper:]][[:word:]]*(::[[:upper:]][[:word:]]*)*\z/.freeze
      # Longest name, in bytes.
      MAX_NAME = 255
      # The module whose exceptions mean what they say.
      OWN = "TaskerCore"
      # Most names of a table.
      MAX_NAMES = 1_000
      # What is allowed, in words.
      ALLOWED = "at most #{MAX_NAMES} names of exception classes such as \"Net::ReadTimeout\", none of " \
                "#{OWN}'s own, each with #{KINDS.join(", ")}".freeze
      # Method that gives a module's name, whatever the module itself makes of it.
      NAME_OF = Module.instance_method(:name)
      private_constant :NAME_OF

      # What a table says of an exception.
      #
      # @!attribute kind
      #   @return [String] "retryable", "permanent" or "blocked"
      # @!attribute source
      #   @return [String] which table, and under which name
      Rule = Struct.new(:kind, :source, keyword_init: true)

      class << self
        # @param table [Object] as it was given
        # @return [Object] with names and kinds as text, frozen, where that is possible
        # @example
        #   ErrorClasses.copy({ Net::ReadTimeout => :retryable }) # => { "Net::ReadTimeout" => "retryable" }
        def copy(table)
          return table unless table.is_a?(Hash)

          table.to_h { |name, kind| [name_of(name), kind_of(kind)] }.freeze
        end

        # @param table [Object]
        # @return [String, nil] what is seen that is not allowed
        # @example
        #   ErrorClasses.problem({ "IOError" => "fatal" }) # => "\"fatal\" for IOError"
        def problem(table)
          return "a #{table.class}" unless table.is_a?(Hash)
          return "#{table.size} names" if table.size > MAX_NAMES

          name, = table.find { |other, _kind| !name?(other) }
          return "a table with the name #{name.inspect}" if name

          name, kind = table.find { |_name, other| !KINDS.include?(other) }
          "#{kind.inspect} for #{name}" if name
        end

        # @api private
        # @param type [Module]
        # @return [String, nil]
        def module_name(type)
          NAME_OF.bind_call(type)
        end

        # @api private
        # @param name [String]
        # @return [Boolean] whether it names a class of this library
        def own?(name)
          name == OWN || name.start_with?("#{OWN}::")
        end

        private

        def name_of(name)
          name.is_a?(Module) ? module_name(name).to_s : name.to_s.dup.freeze
        end

        def kind_of(kind)
          kind.is_a?(String) || kind.is_a?(Symbol) ? kind.to_s.dup.freeze : kind
        end

        def name?(name)
          name.bytesize <= MAX_NAME && name.valid_encoding? && name.match?(NAME) && !own?(name)
        end
      end

      # @param tables [Hash{String => Hash{String => String}}] by what they belong to; the first that knows an
      #   exception counts
      def initialize(tables)
        @tables = tables.reject { |_owner, table| table.empty? }
      end

      # In a table the nearest ancestor counts. What is above a class of this library does not: it means what it says.
      #
      # @param error [Exception]
      # @return [Rule, nil] nil: no table knows it
      # @example
      #   ErrorClasses.new("step" => { "IOError" => "blocked" }).rule(EOFError.new).kind # => "blocked"
      def rule(error)
        return if @tables.empty?

        names = names(error)
        @tables.each do |owner, table|
          name = names.find { |known| table.key?(known) }
          return Rule.new(kind: table[name], source: "error_classes of the #{owner}: #{name}") if name
        end
        nil
      end

      private

      def names(error)
        names = error.class.ancestors.filter_map { |type| self.class.module_name(type) }
        names.take_while { |name| !self.class.own?(name) }
      end
    end
  end
end
