# frozen_string_literal: true

require_relative "internal/bridge"

module TaskerCore
  # A change of state of a task or a step, or what became of a worker, told to those who subscribed with
  # {TaskerCore.subscribe}. Frozen; parts are computed when they are asked for.
  #
  # @example
  #   TaskerCore.subscribe("step.succeeded") { |event| puts "#{event.template} #{event.step_name}: #{event.at}" }
  class Event
    # Every name, "step." before "task." before "worker.".
    NAMES = Internal::Bridge::EVENT_NAMES
    # Microseconds in a second.
    MICRO = 1_000_000

    # @api private
    # @param item [Array<Integer, nil>] as from `next_events`: number of the name, id of the step, task or worker, time
    #   in microseconds, for steps and tasks number of the state before and after, and for steps attempt and worker id
    # @param templates [Internal::TaskTemplates]
    def initialize(item, templates)
      @item = item
      @templates = templates
      freeze
    end

    # @return [String] one of {NAMES}
    def name
      NAMES.fetch(@item[0])
    end

    # @return [Time] UTC; when it was decided, by the database's clock, to the microsecond; for a worker's event by the
    #   clock of this process
    def at
      Time.at(*@item[2].divmod(MICRO), :microsecond, in: "UTC")
    end

    # @return [Boolean] whether a step changed its state
    def step?
      @item.size > 5
    end

    # @return [Boolean] whether it is about a worker; otherwise a step or a task changed its state
    def worker?
      @item.size < 5
    end

    # @return [Integer, nil] nil for a worker's event
    def task_id
      return if worker?

      step? ? @item[1] >> Internal::Bridge::STEP_INDEX_BITS : @item[1]
    end

    # @return [Integer, nil] nil for an event of a task or a worker
    def step_id
      @item[1] if step?
    end

    # Known as {#template} is; of a step that was added to its task it is read from the database each time.
    #
    # @return [String, nil] nil for an event of a task or a worker, and where it cannot be read
    def step_name
      @templates.step_name(@item[1]) if step?
    end

    # The version of the template that the task was made from. Known without asking the database for tasks whose steps
    # this worker claimed of late.
    #
    # @return [#namespace, #name, #version, #to_s, nil] nil for a worker's event, and where it cannot be read: the
    #   database does not answer, the task was deleted, or the worker has ended and does not know it
    # @example
    #   event.template.name # => "order_fulfilment"
    def template
      @templates.of_task(task_id) unless worker?
    end

    # @return [String, nil] the state before; nil for a worker's event
    def from
      states.fetch(@item[3]) unless worker?
    end

    # @return [String, nil] the state after; nil for a worker's event
    def to
      states.fetch(@item[4]) unless worker?
    end

    # @return [Integer, nil] number of the step's attempt, from 1, 0 before the first; nil for an event of a task or a
    #   worker
    def attempt
      @item[5]
    end

    # @return [Integer, nil] the worker that holds or held the step's claim, or that the event is about; nil where there
    #   is none
    def worker_id
      worker? ? @item[1] : @item[6]
    end

    # @return [Hash{Symbol => Object}] all parts but the names of template and step
    # @example
    #   logger.info { event.to_h.to_json }
    def to_h
      { name: name, at: at, task_id: task_id, step_id: step_id, from: from, to: to, attempt: attempt,
        worker_id: worker_id }
    end

    # @return [String]
    def inspect
      return "#<#{self.class} #{name} worker #{worker_id}>" if worker?

      "#<#{self.class} #{name} #{step? ? "step #{step_id}" : "task #{task_id}"} #{from} > #{to}>"
    end

    private

    def states
      step? ? Internal::Bridge::STEP_STATES : Internal::Bridge::TASK_STATES
    end
  end
end
