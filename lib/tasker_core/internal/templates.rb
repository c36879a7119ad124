# frozen_string_literal: true

require "monitor"
require_relative "../errors"

module TaskerCore
  module Internal
    # The templates that this process has loaded. Safe to use from several threads.
    class Templates
      # @param templates [Array<TaskTemplate>]
      # @return [TaskTemplate, nil] the one with the highest version; nil of none
      # @example
      #   Templates.highest(templates).version # => "1.10.0"
      def self.highest(templates)
        templates.max_by { |template| Gem::Version.new(template.version[/\A[^+]*/]) }
      end

      def initialize
        @lock = Mutex.new
        @by_key = {}.freeze
        @later = [].freeze
        @bringing = Monitor.new
      end

      # Has the block bring templates at the next look at them, and not before: what they are made of need not be
      # complete yet. One that raises, or brings nil, is asked again at the look after that.
      #
      # @yieldreturn [TaskTemplate, Array<TaskTemplate>, nil] nil: not yet
      # @return [void]
      # @example
      #   templates.later { TaskTemplate.load_file(path) if File.exist?(path) }
      def later(&bring)
        @lock.synchronize { @later = [*@later, bring].freeze }
      end

      # Has the blocks of {#later} bring theirs. Other threads wait for it.
      #
      # @return [void]
      def settle
        return if @later.empty? || @bringing.mon_owned?

        @bringing.synchronize { @later.each { |bring| settle_one(bring) } }
      end

      # Adds all of them or none. The same definition again replaces the earlier object.
      #
      # @param templates [Array<TaskTemplate>]
      # @return [void]
      # @raise [TemplateConflict] another definition has the same namespace, name and version
      # @example
      #   templates.add([template])
      def add(templates)
        @lock.synchronize do
          @by_key = templates.inject(@by_key) do |known, template|
            check(known[template.key], template)
            known.merge(template.key => template)
          end.freeze
        end
      end

      # @param name [String]
      # @param namespace [String]
      # @param version [String, nil] nil: the highest
      # @return [TaskTemplate, nil]
      # @example
      #   templates.find("order_fulfilment", namespace: "default", version: nil)
      def find(name, namespace:, version:)
        settle
        return @by_key[[namespace, name, version]] if version

        Templates.highest(@by_key.values.select { |one| one.name == name && one.namespace == namespace })
      end

      # @return [Array<TaskTemplate>] in the order in which they were loaded
      def all
        settle
        @by_key.values
      end

      # Forgets these templates.
      #
      # @param templates [Array<TaskTemplate>]
      # @return [void]
      # @example
      #   templates.remove([template])
      def remove(templates)
        @lock.synchronize { @by_key = @by_key.reject { |_, known| templates.any? { |one| one.equal?(known) } }.freeze }
      end

      # Forgets all templates. The database keeps what it knows.
      #
      # @return [void]
      def clear
        @lock.synchronize do
          @by_key = {}.freeze
          @later = [].freeze
        end
      end

      private

      def settle_one(bring)
        brought = bring.call
        return if brought.nil?

        add([*brought])
        @lock.synchronize { @later = (@later - [bring]).freeze }
      end

      def check(known, template)
        return if known.nil? || known == template

        raise TemplateConflict.new("#{template.source}: template #{template} is already defined otherwise in " \
                                   "#{known.source}; give one of them another version or name",
                                   details: { "key" => "version", "value" => template.version })
      end
    end
  end
end
