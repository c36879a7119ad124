# frozen_string_literal: true

require_relative "../internal/check"

module TaskerCore
  module Records
    # What the models have in common: they read. What is asked of a record or of a model that would write raises
    # `ActiveRecord::ReadOnlyRecord`; Postgres refuses what is asked of a relation, as the views cannot be written to.
    #
    # @abstract
    class Base < ActiveRecord::Base
      # Methods of a record that write.
      WRITES = %i[save save! delete destroy destroy! update_columns increment! decrement! touch].freeze
      # Those of a model.
      BULK_WRITES = %i[insert insert! insert_all insert_all! upsert upsert_all].freeze
      private_constant :WRITES, :BULK_WRITES

      self.abstract_class = true

      WRITES.each do |name|
        define_method(name) { |*, **| Base.refuse_to_write(self.class) }
      end

      BULK_WRITES.each do |name|
        define_singleton_method(name) { |*, **| Base.refuse_to_write(self) }
      end

      class << self
        # @api private
        # @param model [Class]
        # @raise [ActiveRecord::ReadOnlyRecord] always
        def refuse_to_write(model)
          raise ActiveRecord::ReadOnlyRecord,
                "#{model} is for reading only; TaskerCore.submit makes tasks, TaskerCore.cancel, retry, skip and " \
                "resolve change what becomes of them"
        end

        private

        # Those that were asked for, each of which there is.
        def checked_states(states)
          states = states.flatten
          Internal::Check.refuse("states", states, "one or more of #{self::STATES.join(", ")}") if states.empty?
          states.map do |state|
            allowed = self::STATES.find { |known| known == state.to_s }
            allowed || Internal::Check.refuse("state", state, self::STATES.join(", "))
          end
        end

        def from_time(column, time)
          where(column => checked_time(time, column)..)
        end

        def before_time(column, time)
          where(column => ...checked_time(time, column))
        end

        def checked_time(time, column)
          time.acts_like?(:time) ? time : Internal::Check.refuse(column.name, time, "a Time")
        end
      end

      # @return [Boolean] true
      def readonly?
        true
      end
    end
  end
end
