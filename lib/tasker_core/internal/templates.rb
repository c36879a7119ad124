# frozen_string_literal: true

require "monitor"
require_relative "../errors"

module TaskerCore
  module Internal
    # The templates that this process has loaded. Safe to use from several threads.
    #
    # One whose handler classes are not all there is set aside: nobody gets it, and a look at its name raises what is
    # missing. The others are used, and workers execute the steps of its tasks that they can.
    class Templates
      # What a template that is set aside means, for those who are told of it.
      SET_ASIDE = "until then no task of this template is submitted here, and steps without their class are blocked; " \
                  "everything else goes on"

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
        @aside = {}.freeze
        @bringing = Monitor.new
      end

      # Has the block bring templates at the next look at them, and not before: what they are made of need not be
      # complete yet. One that raises, or brings nil, is asked again at the look after that. Where it raises
      # {HandlerNotFound}, its template is set aside.
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
        return if @later.empty? || settling?

        @bringing.synchronize { @later.each { |bring| settle_one(bring) } }
      end

      # @return [Boolean] whether this thread is in a block of {#later}
      def settling?
        @bringing.mon_owned?
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

      # Sets a template aside, and tells the operator.
      #
      # @param place [Object] where it was written, or the block that was to bring it
      # @param error [HandlerNotFound] its details name the template
      # @return [void]
      # @example
      #   templates.set_aside(file, error)
      def set_aside(place, error)
        return if @lock.synchronize { known?(place, error) }

        TaskerCore.configuration.logger.error { "#{error.message}; #{SET_ASIDE}" }
        nil
      end

      # Forgets that templates were set aside.
      #
      # @param places [Array<Object>]
      # @return [void]
      # @example
      #   templates.put_back(files)
      def put_back(places)
        @lock.synchronize { @aside = @aside.except(*places).freeze }
      end

      # @return [Hash{Object => HandlerNotFound}] place => why its template is set aside
      def aside
        settle
        @aside
      end

      # @param name [String]
      # @param namespace [String]
      # @param version [String, nil] nil: the highest
      # @return [TaskTemplate, nil]
      # @raise [HandlerNotFound] it is set aside
      # @example
      #   templates.find("order_fulfilment", namespace: "default", version: nil)
      def find(name, namespace:, version:)
        settle
        refuse_aside(name, "namespace" => namespace, "version" => version)
        return @by_key[[namespace, name, version]] if version

        Templates.highest(@by_key.values.select { |one| one.name == name && one.namespace == namespace })
      end

      # @param name [String]
      # @return [TaskTemplate, nil] the highest of this name in any namespace
      # @raise [HandlerNotFound] one is set aside
      # @example
      #   templates.named("order_fulfilment")
      def named(name)
        settle
        refuse_aside(name)
        Templates.highest(@by_key.values.select { |one| one.name == name })
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
          @aside = {}.freeze
        end
      end

      private

      def settle_one(bring)
        brought = bring.call
        return if brought.nil?

        add([*brought])
        put_back([bring])
        @lock.synchronize { @later = (@later - [bring]).freeze }
      rescue HandlerNotFound => e
        set_aside(bring, e)
      end

      # Of a block that is asked again the operator is told once.
      def known?(place, error)
        known = @aside[place]&.message == error.message
        @aside = @aside.merge(place => error).freeze
        known
      end

      # What the error does not tell of the template, as the version of one in Ruby, may be any.
      def refuse_aside(name, **identity)
        wanted = { "name" => name, **identity.compact }
        named = @aside.values.select { |error| error.details["name"] == name }
        error = named.find { |one| one.details.slice(*wanted.keys) <= wanted } or return

        raise HandlerNotFound.new(error.message, details: error.details)
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
