# frozen_string_literal: true

require "digest"
require "json"
require "tasker_core"

module RecordedWorkflows
  # The file does not have the form that README.md describes. The message names the fault and the ids.
  class Malformed < TaskerCore::InvalidArgument; end

  # A recorded workflow as read from its file, and the template that replays it. What one entry can get wrong by
  # itself is checked here; the graph (unknown parents, duplicates, cycles) is checked by the engine.
  class Document
    # Largest size of a file.
    MAX_BYTES = 256 * 1024 * 1024
    # Largest number of bytes that an entry may state.
    MAX_COUNT = (2**63) - 1
    # Queue and namespace of the steps, so that workers of other things leave them alone.
    QUEUE = "recorded_workflows"
    # Longest part of the file's own name that goes into the template's name.
    MAX_NAME = 40

    # Reads and checks a file.
    #
    # @param path [String]
    # @return [Document]
    # @raise [Malformed] the file cannot be read or does not have the form
    # @example
    #   RecordedWorkflows::Document.read("graph.json").tasks.size
    def self.read(path)
      raise Malformed, "the file is larger than #{MAX_BYTES} bytes" if File.size(path) > MAX_BYTES

      parse(File.binread(path).force_encoding(Encoding::UTF_8))
    rescue SystemCallError => e
      raise Malformed, e.message[/\A[^@]+/].strip
    end

    # Checks a text.
    #
    # @param text [String] JSON in UTF-8
    # @return [Document]
    # @raise [Malformed] it does not have the form
    def self.parse(text)
      raise Malformed, "the file is not valid UTF-8" unless text.valid_encoding?

      new(JSON.parse(text), digest: Digest::SHA256.hexdigest(text))
    rescue JSON::ParserError => e
      raise Malformed, "the file is not JSON: #{e.message.lines.first.strip.sub(/\A\d+: /, "")[0, 120]}"
    end

    # @param data [Object] the parsed file
    # @param digest [String] what tells this file's content from another's
    def initialize(data, digest:)
      @data = data
      @digest = digest
      check_head
      tasks.each_with_index { |task, index| check_task(task, "tasks[#{index}]") }
    end

    # @return [Array<Hash>] the entries of the file, in its order
    def tasks
      @data["tasks"]
    end

    # @return [String] the file's own name
    def name
      @data["name"] || "recorded workflow"
    end

    # The template that replays the graph. Its name carries a digest of the file, so that a changed file is a
    # template of its own.
    #
    # @param handler [String] name of the handler class of each step
    # @return [Hash] the structure that a YAML template has
    # @example
    #   document.template(handler: "RecordedWorkflows::Replay")["step_templates"].size
    def template(handler:)
      { "name" => template_name, "namespace_name" => QUEUE, "version" => "1.0.0",
        "description" => "replays #{name[0, 200]}", "queue" => QUEUE,
        "step_templates" => tasks.map { |task| step(task, handler) } }
    end

    private

    def template_name
      "#{name[0, MAX_NAME].gsub(/[^A-Za-z0-9_.-]+/, "_")}-#{@digest[0, 16]}"
    end

    def step(task, handler)
      { "name" => task["id"], "handler_class" => handler, "depends_on_steps" => task["parents"],
        "handler_config" => { "runtime_s" => task["runtime_s"] || 0 } }
    end

    def check_head
      malformed("the file must hold a JSON object, got #{kind(@data)}") unless @data.is_a?(Hash)
      %w[name source licence].each { |key| check_text(@data[key], key) if @data.key?(key) }
      malformed("tasks must be an array, got #{kind(tasks)}") unless tasks.is_a?(Array)
      malformed("tasks must not be empty: a workflow has at least one task") if tasks.empty?
    end

    def check_task(task, place)
      malformed("#{place} must be an object, got #{kind(task)}") unless task.is_a?(Hash)
      check_id(task["id"], "#{place}.id")
      place = "#{place} (id #{task["id"].inspect})"
      check_parents(task["parents"], place)
      check_runtime(task["runtime_s"], place)
      check_facts(task, place)
    end

    # What does not change the execution may be left out.
    def check_facts(task, place)
      check_text(task["name"], "#{place}: name") if task.key?("name")
      %w[input_bytes output_bytes].each { |key| check_count(task[key], "#{place}: #{key}") if task.key?(key) }
    end

    def check_id(id, place)
      check_text(id, place)
      malformed("#{place} must not be empty") if id.empty?
    end

    def check_text(value, place)
      malformed("#{place} must be text, got #{kind(value)}") unless value.is_a?(String)
      malformed("#{place} must be valid UTF-8, got #{value.inspect}") unless value.valid_encoding?
      malformed("#{place} must not contain U+0000, got #{value.inspect}") if value.include?("\0")
    end

    def check_parents(parents, place)
      malformed("#{place}: parents must be an array of ids, got #{kind(parents)}") unless parents.is_a?(Array)
      parents.each_with_index { |parent, index| check_id(parent, "#{place}: parents[#{index}]") }
      twice = parents.tally.find { |_, number| number > 1 }
      malformed("#{place}: parents name #{twice.first.inspect} twice") if twice
    end

    def check_runtime(seconds, place)
      return if seconds.nil?

      good = seconds.is_a?(Numeric) && seconds.finite? && !seconds.negative?
      malformed("#{place}: runtime_s must be a number of seconds from 0, or null, got #{kind(seconds)}") unless good
    end

    def check_count(value, place)
      good = value.is_a?(Integer) && value.between?(0, MAX_COUNT)
      malformed("#{place} must be a whole number from 0 to #{MAX_COUNT}, got #{kind(value)}") unless good
    end

    # The value as a message shows it: short ones themselves, others by their type.
    def kind(value)
      case value
      when nil then "nothing"
      when Hash then "an object"
      when Array then "an array"
      else value.inspect[0, 80]
      end
    end

    def malformed(message)
      raise Malformed, message
    end
  end
end
