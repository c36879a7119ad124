# frozen_string_literal: true

require "json"
require_relative "../step_handler/errors"

module TaskerCore
  module Internal
    # Records in contexts and results, whatever has a global id (Rails' gem globalid): in JSON they stand as that, and
    # handlers get the records.
    module GlobalIds
      # The only key of an object that stands for a record.
      KEY = "tasker_global_id"
      # The only key of such an object among the arguments of a job.
      ACTIVE_JOB_KEY = "_aj_globalid"
      # Code of failures because there is no such record any more.
      NOT_FOUND = "RECORD_NOT_FOUND"

      # @api private
      # An object that stands for a record, and did not come from elsewhere.
      class Written < Hash; end

      module_function

      # @param value [Object]
      # @return [Boolean]
      # @example
      #   GlobalIds.record?(Order.new) # => true
      def record?(value)
        value.respond_to?(:to_global_id)
      end

      # @param record [Object]
      # @return [Boolean] false for one that is not saved, for instance
      # @example
      #   GlobalIds.id?(Order.new) # => false
      def id?(record)
        !written_record(record).equal?(record)
      end

      # A copy with the objects that stand for the records. Those without a global id stay, and so does what is deeper
      # than JSON may be.
      #
      # @param value [Object]
      # @param levels [Integer] of arrays and hashes
      # @return [Object]
      # @example
      #   GlobalIds.written({ order: Order.find(7) }, 100)
      #   # => { order: { "tasker_global_id" => "gid://shop/Order/7" } }
      def written(value, levels, copies = {}.compare_by_identity)
        return copies[value] if copies.key?(value)
        return value if levels.negative?

        case value
        when Hash
          value.each_with_object(copies[value] = {}) { |(key, one), all| all[key] = written(one, levels - 1, copies) }
        when Array
          value.each_with_object(copies[value] = []) { |one, all| all << written(one, levels - 1, copies) }
        else written_record(value)
        end
      end

      # What a JSON text says, with the records.
      #
      # @param json [String]
      # @param what [String] name of the value, the first part of key paths in messages
      # @return [Object] frozen, but for the records
      # @raise [PermanentError] a record is gone; code {NOT_FOUND}
      # @raise [BlockedError] this process cannot know such records
      # @example
      #   GlobalIds.read('{"order":{"tasker_global_id":"gid://shop/Order/7"}}', "context") # => { "order" => #<Order> }
      def read(json, what)
        located(JSON.parse(json, freeze: true, max_nesting: false), json, what)
      end

      # The same for a text that was read.
      #
      # @param value [Object] frozen, without records
      # @param json [String] in which it stands
      # @param what [String] (see #read)
      # @return [Object] (see #read)
      # @raise (see #read)
      # @example
      #   GlobalIds.located(plain, json, "context")
      def located(value, json, what)
        in?(json) ? with_records(value, what) : value
      end

      # @param json [String]
      # @return [Boolean] whether records may stand in it
      # @example
      #   GlobalIds.in?("{}") # => false
      def in?(json)
        json.include?(KEY)
      end

      # @param value [Object] as JSON has it
      # @return [Object] the same for Active Job, which finds the records itself
      # @example
      #   GlobalIds.for_active_job(step.plain_inputs)
      def for_active_job(value)
        case value
        when Hash
          return { ACTIVE_JOB_KEY => value[KEY] } if stands_for_record?(value)

          value.transform_values { |inner| for_active_job(inner) }
        when Array then value.map { |inner| for_active_job(inner) }
        else value
        end
      end

      # @api private
      def stands_for_record?(hash)
        hash.size == 1 && hash.key?(KEY)
      end

      # @api private
      def written_record(record)
        record?(record) ? Written[KEY, record.to_global_id.to_s] : record
      rescue StandardError
        record
      end

      # @api private
      def with_records(value, path)
        case value
        when Hash
          return locate(value[KEY], path) if stands_for_record?(value)

          value.to_h { |key, inner| [key, with_records(inner, "#{path}.#{key}")] }.freeze
        when Array then value.each_with_index.map { |inner, index| with_records(inner, "#{path}[#{index}]") }.freeze
        else value
        end
      end

      # @api private
      def locate(id, path)
        unless defined?(::GlobalID::Locator)
          raise BlockedError, "#{path} is the record #{id}, which this process cannot find: it has no gem globalid"
        end

        ::GlobalID::Locator.locate(id) || gone(id, path)
      rescue NameError => e
        raise if e.is_a?(NoMethodError)

        raise BlockedError, "#{path} is the record #{id}, whose class this process does not have " \
                            "(#{e.message.lines.first.chomp}); deploy it, then have the step tried again"
      rescue StandardError => e
        raise unless defined?(::ActiveRecord::RecordNotFound) && e.is_a?(::ActiveRecord::RecordNotFound)

        gone(id, path)
      end

      # @api private
      def gone(id, path)
        raise PermanentError.new("#{path} is the record #{id}, which is gone", error_code: NOT_FOUND,
                                                                               context: { key: path, record: id })
      end
    end
  end
end
