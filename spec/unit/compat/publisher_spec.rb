# frozen_string_literal: true

require "tasker_core/compat"

RSpec.describe Tasker::Events::Publisher do
  subject(:publisher) { described_class.instance }

  let(:log) { StringIO.new }

  before { TaskerCore.configure { |c| c.logger = Logger.new(log) } }

  after do
    TaskerCore.configure { |c| c.logger = TaskerCore::Configuration.new.logger }
    @subscriptions&.each { |subscription| publisher.unsubscribe(subscription) }
  end

  def subscribe(*names)
    told = []
    @subscriptions = names.map { |name| publisher.subscribe(name) { |event| told << [name, event.to_h] } }
    told
  end

  it "passes an application's events on, with and without the ancestor's prefix" do
    told = subscribe("order.placed", "custom.order.placed", "order.shipped")
    publisher.publish("order.placed", { "id" => 7 })
    publisher.publish("custom.order.placed", { id: 8 })

    expect(told).to eq([["order.placed", { id: 7 }], ["custom.order.placed", { id: 7 }],
                        ["order.placed", { id: 8 }], ["custom.order.placed", { id: 8 }]])
  end

  it "tells nothing to whom has unsubscribed" do
    told = subscribe("order.placed")
    publisher.unsubscribe(@subscriptions.pop)
    publisher.publish("order.placed")

    expect(told).to eq([])
  end

  it "tells the others where one fails, and logs it" do
    @subscriptions = [publisher.subscribe("order.placed") { raise "full" }]
    told = subscribe("order.placed")
    publisher.publish("order.placed")

    expect([told.size, log.string]).to match([1, /subscriber of order.placed failed: RuntimeError: full/])
  ensure
    publisher.unsubscribe(@subscriptions.first)
  end

  it "knows all of the ancestor's names, and says which are told no more" do
    subscribe(*Tasker::Constants::EVENT_NAMES)
    silent = Tasker::Constants::EVENT_NAMES - described_class::SOURCES.keys

    expect(log.string.scan(/there is no event (\S+) any more/).flatten).to eq(silent)
  ensure
    @subscriptions.compact!
  end

  it "stands for events that there are" do
    expect(described_class::SOURCES.values.flatten - TaskerCore::Event::NAMES).to eq([])
    expect(described_class::SOURCES.keys - Tasker::Constants::EVENT_NAMES).to eq([])
  end

  it "refuses names that are none, and the engine's as the application's own" do
    expect { publisher.subscribe("step.complete") { nil } }
      .to raise_error(TaskerCore::InvalidArgument, /no event step.complete; did you mean "step.completed"/)
    expect { publisher.publish("task.completed") }.to raise_error(TaskerCore::InvalidArgument, /by the engine itself/)
  end
end

RSpec.describe Tasker::Events::Event do
  it "reads what it does not know when it is asked for it, once" do
    reads = 0
    event = described_class.new("step.completed", { task_id: 7 }) { (reads += 1) && { step_results: [1] } }

    expect([event[:task_id], event.fetch("task_id"), reads]).to eq([7, 7, 0])
    expect([event[:step_results], event["step_results"], event[:none], event.fetch(:none) { |key| key }, reads])
      .to eq([[1], [1], nil, :none, 1])
    expect(event.payload).to eq(task_id: 7, step_results: [1])
  end
end

RSpec.describe Tasker::Events::Subscribers::BaseSubscriber do
  let(:log) { StringIO.new }

  after { TaskerCore.configure { |c| c.logger = TaskerCore::Configuration.new.logger } }

  it "warns of an event for which it has no method, and takes the others" do
    subscriber = Class.new(described_class) do
      subscribe_to "order.placed", "task.completed"
      def handle_task_completed(_event); end
    end
    names = []
    publisher = Object.new.tap { |it| it.define_singleton_method(:subscribe) { |name| names << name } }
    TaskerCore.configure { |c| c.logger = Logger.new(log) }
    subscriber.subscribe(publisher)

    expect([names, log.string]).to match([["task.completed"], /order.placed and has no method handle_order_placed/])
  end

  it "takes the events of the classes above it" do
    above = Class.new(described_class) { subscribe_to :task_completed }
    below = Class.new(above) { subscribe_to "custom.order.placed" }

    expect([above, below].map(&:subscribed_events))
      .to eq([["task.completed"], ["task.completed", "custom.order.placed"]])
  end
end
