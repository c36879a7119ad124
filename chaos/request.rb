# frozen_string_literal: true

require_relative "approval"
require_relative "stale"

module Chaos
  # What was asked for a task after it was made, and what came of it.
  #
  # kind: :cancel, :pause, :resume, :retry, :skip, :resolve, :signal, :approve, :reject, :rerun, :fork or :raise, or one
  # of {BULK}; step: its name, nil: the task, or every step that can be tried again; actor: no other request has it;
  # told: what goes along: the signal's name, its payload and key, the branches that are taken, the fork's key, the
  # limits of a budget, which of many tasks are meant, and by the time of day when that was asked for first, and when it
  # was acknowledged; seen: the state in which the step was right before, or ids of the steps of many tasks that had
  # failed.
  #
  # calls: how often it was sent; answer: :acknowledged; :refused; :unsure, it may take place or not. sent_ns and
  # answered_ns: nanoseconds of the machine's monotonic clock, of the first request and of the first acknowledgement.
  # ids: what a signal's sender, or that of a fork, was told; of a signal to many tasks which of them have it.
  Request = Struct.new(:kind, :step, :actor, :told, :seen, :calls, :answer, :sent_ns, :answered_ns, :ids,
                       keyword_init: true) do
    # @return [Boolean]
    def acknowledged?
      answer == :acknowledged
    end

    # @return [Boolean] whether it may have taken place
    def possible?
      answer != :refused
    end

    # @return [Boolean] whether it sends a signal
    def signal?
      %i[signal signal_all].include?(kind) || Approval::KINDS.include?(kind)
    end

    # @return [Boolean] whether it is about many tasks
    def bulk?
      Request::BULK.include?(kind)
    end

    # @param template [String] of a task
    # @param correlation [String, nil] its correlation key
    # @param tags [Array<String>]
    # @return [Boolean] whether it is about many tasks, and that is one of them
    def means?(template:, correlation:, tags:)
      case kind
      when :expire then template == Stale::TEMPLATE
      when :signal_all then told.fetch(:correlation) == correlation
      when :retry_all then tags.include?(told.fetch(:tag))
      end
    end

    # @return [Boolean] whether it takes place once, however often it is sent
    def repeatable?
      !Approval::KINDS.include?(kind)
    end

    # @return [String] by which what was sent is known, as {Record::Signal#mark}
    def mark
      Approval::KINDS.include?(kind) ? "decision by #{actor}" : "signal #{told[:number]}"
    end
  end

  # Kinds of those that are about many tasks: those that have a correlation key, are old, or have failed.
  Request::BULK = %i[signal_all expire retry_all].freeze
  # Who has tasks go on in the end that are paused still, because the answer to the pause was lost.
  Request::RELEASER = "verdict"

  # What was acknowledged to a client: that this task was made, and when, in nanoseconds as above, and its correlation
  # key, if it has one. `requests`: what was asked for it since.
  Receipt = Struct.new(:task_id, :template, :seed, :requests, :made_ns, :correlation)

  # An idempotency key with which a task was submitted: what each answer said was its id, and how many said that they
  # had made it. `unique`: the task is known by its context, which has the key in it.
  Key = Struct.new(:text, :ids, :made, :unique)

  # What clients and operators asked for: the tasks that were acknowledged, the keys with which some were submitted, and
  # the requests about many.
  Asked = Struct.new(:receipts, :keys, :bulk)
end
