# frozen_string_literal: true

require_relative "../../chaos/checker"
require_relative "play"

# Spoils what is known of a task to which nothing happened, to see that a judge finds it.
module SpoiledRecords
  # @param what [String]
  # @param template [String] its name
  # @param message [Regexp] what is found
  # @param such [Proc, nil] takes a record and says whether that one is to be spoiled. Default nil: any.
  # @param state [String] of the task. Default: complete.
  # @yieldparam record [Chaos::Record] to be spoiled
  # @return [void]
  def it_finds(what, template, message, such: nil, state: "complete")
    judge = described_class
    it "finds #{what}" do
      record = Chaos::Play.of(template) { |one| one.state == state && (such.nil? || such.call(one)) }
      expect(SpoiledRecords.judged(judge, record)).to eq([])
      yield record
      expect(SpoiledRecords.judged(judge, record)).to include(message)
    end
  end

  # As {#it_finds}, where the judge has nothing to say.
  #
  # @return [void]
  def it_lets(what, template, such: nil, state: "complete")
    judge = described_class
    it "lets #{what}" do
      record = Chaos::Play.of(template) { |one| one.state == state && (such.nil? || such.call(one)) }
      yield record
      expect(SpoiledRecords.judged(judge, record)).to eq([])
    end
  end

  # @param judge [Class]
  # @param record [Chaos::Record]
  # @return [Array<String>]
  def self.judged(judge, record)
    judge.new(record, Chaos::Expectation.new(record)).violations
  end

  # Records a request of somebody.
  #
  # @param record [Chaos::Record]
  # @param kind [Symbol]
  # @param answer [Symbol]
  # @param rest [Hash{Symbol => Object}] as {Chaos::Request}
  # @return [Chaos::Request]
  def self.ask(record, kind, answer = :acknowledged, **rest)
    request = Chaos::Request.new(kind: kind, answer: answer, actor: "mara", told: {}, calls: 1, ids: [], sent_ns: 0,
                                 answered_ns: 0, **rest)
    record.receipt.requests << request
    request
  end

  # What was sent is in the records of {Chaos::Play} without having been asked for.
  #
  # @param record [Chaos::Record]
  # @return [true]
  def self.send_signals(record)
    record.signals.each do |signal|
      kind = signal.payload.key?("number") ? :signal : :approve
      ask(record, kind, told: { name: signal.name, number: signal.payload["number"] }, ids: [signal.id],
                        answered_ns: 10**18)
    end
    true
  end

  # @param thing [Chaos::Record, Chaos::Record::Step] that changes its state
  # @return [Chaos::Record::Transition]
  def self.change(thing, to, event, **rest)
    own, detail = rest.partition { |key, _| %i[id attempt outcome].include?(key) }.map(&:to_h)
    id = (thing.transitions.last&.id || 0) + 0.1
    thing.transitions << Chaos::Record::Transition.new(id: id, from: thing.state, to: to, event: event, at: 0.0, **own,
                                                       detail: detail.transform_keys(&:to_s))
    thing.state = to
    thing.transitions.last
  end
end
