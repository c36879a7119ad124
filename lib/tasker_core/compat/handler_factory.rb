# frozen_string_literal: true

require "singleton"

module Tasker
  # Task handlers by namespace, name and version.
  #
  # @example
  #   Tasker::HandlerFactory.instance.get("process_order", namespace_name: "shop", version: "1.0.0")
  class HandlerFactory
    include Singleton

    # Folder of a Rails application with the classes of its task handlers.
    FOLDER = "app/tasks"

    def initialize
      @lock = Mutex.new
      @handlers = {}.freeze
    end

    # @param name [String, Symbol]
    # @param handler [Class, String] or its name
    # @param namespace_name [String, Symbol] Default "default".
    # @param version [String] Default "0.1.0".
    # @param replace [Boolean] whether another class may have been registered before. Default false.
    # @return [void]
    # @raise [ProceduralError] another class is registered
    # @example
    #   HandlerFactory.instance.register("process_order", OrderHandler, namespace_name: "shop")
    def register(name, handler, namespace_name: "default", version: "0.1.0", replace: false)
      key = [namespace_name.to_s, name.to_s, version.to_s].freeze
      @lock.synchronize do
        known = @handlers[key]
        refuse(key, known, handler) unless replace || known.nil? || known.to_s == handler.to_s
        @handlers = @handlers.merge(key => handler).freeze
      end
    end

    # @param name [String, Symbol]
    # @param namespace_name [String, Symbol] Default "default".
    # @param version [String] Default "0.1.0".
    # @return [TaskHandler] made anew; in a Rails application that has not loaded its classes, once those in {FOLDER}
    #   are loaded
    # @raise [ProceduralError] none is registered; names what is near
    # @example
    #   HandlerFactory.instance.get("process_order").initialize_task!(request)
    def get(name, namespace_name: "default", version: "0.1.0")
      key = [namespace_name.to_s, name.to_s, version.to_s]
      handler = registered(key) || (load_application && registered(key)) || refuse_unknown(key)
      (handler.is_a?(String) ? Object.const_get(handler) : handler).new
    end

    # @param namespace [String, Symbol, nil] Default nil: all.
    # @return [Hash{String => Hash}] classes by namespace, name and version; with a namespace by name and version
    # @example
    #   HandlerFactory.instance.list_handlers(namespace: "shop") # => { "process_order" => { "1.0.0" => OrderHandler } }
    def list_handlers(namespace: nil)
      all = Hash.new { |spaces, space| spaces[space] = Hash.new { |names, name| names[name] = {} } }
      @handlers.each { |(space, name, version), handler| all[space][name][version] = handler }
      all.each_value { |names| names.default_proc = nil }
      all.default_proc = nil
      namespace ? all.fetch(namespace.to_s, {}) : all
    end

    # @return [Array<String>]
    def registered_namespaces
      @handlers.keys.map(&:first).uniq
    end

    # @return [Hash{Symbol => Integer}] total_handlers, total_namespaces, total_versions
    def stats
      { total_handlers: @handlers.size, total_namespaces: registered_namespaces.size,
        total_versions: @handlers.keys.map(&:last).uniq.size }
    end

    # Forgets all of them; their templates stay known.
    #
    # @return [void]
    def clear!
      @lock.synchronize { @handlers = {}.freeze }
    end

    private

    # The classes register themselves whose names stand in files.
    def registered(key)
      TaskerCore.templates
      @handlers[key]
    end

    # Rails loads a class when it is named, and those of task handlers are named nowhere else.
    def load_application
      return false unless defined?(::Rails) && ::Rails.respond_to?(:root) && ::Rails.root

      files = Dir.glob("**/*.rb", base: ::Rails.root.join(FOLDER)).sort
      files.each { |file| Object.const_get(file.delete_suffix(".rb").camelize) }.any?
    end

    def refuse(key, known, handler)
      raise ProceduralError, "#{shown(key)} is registered as #{known}, not #{handler}; say replace: true to replace it"
    end

    def refuse_unknown(key)
      known = @handlers.keys.map { |other| shown(other) }
      raise ProceduralError, "no task handler is registered as #{shown(key)}" \
                             "#{TaskerCore::Internal::Suggestion.sentence(shown(key), known)}"
    end

    def shown(key)
      "#{key[0]}/#{key[1]} #{key[2]}"
    end
  end
end
