# frozen_string_literal: true

# Registers and publishes as a publisher of dry-events does, for where that is not installed: a listener is called with
# what answers `[]`, and of an event that is not registered nothing can be heard or told.
class PublisherOfEvents
  def initialize
    @events = {}
    @listeners = Hash.new { |all, name| all[name] = [] }
  end

  def register_event(name, payload = {})
    @events[name] = payload
  end

  def subscribe(name, &listener)
    @events.fetch(name)
    @listeners[name] << listener
  end

  def publish(name, payload = {})
    payload = @events.fetch(name).merge(payload)
    @listeners[name].each { |listener| listener.call(payload) }
  end
end

RSpec.describe "Events for other libraries", :database do
  include Workflows

  after { TaskerCore.unsubscribe(@subscription) if @subscription }

  def load_gem(name)
    require name
  rescue LoadError
    skip "#{name} is not installed"
  end

  def pass_on(target, *patterns)
    @subscription = TaskerCore.instrument_with(target, *patterns)
    define_one { nil }
    run("one").task_id
  end

  it "reach ActiveSupport::Notifications under names of their own" do
    load_gem("active_support/notifications")
    told = []
    listener = ActiveSupport::Notifications.subscribe(/\.tasker_core\z/) do |*all|
      told << ActiveSupport::Notifications::Event.new(*all)
    end
    task_id = pass_on(ActiveSupport::Notifications)

    expect(told.map(&:name)).to eq(%w[worker.started.tasker_core task.started.tasker_core step.claimed.tasker_core
                                      step.succeeded.tasker_core task.completed.tasker_core worker.stopping.tasker_core
                                      worker.stopped.tasker_core])
    expect(told[3].payload).to include(task_id: task_id, to: "complete", attempt: 1, event: be_a(TaskerCore::Event))
  ensure
    ActiveSupport::Notifications.unsubscribe(listener) if listener
  end

  def publisher
    require "dry/events/publisher"
    Class.new { include Dry::Events::Publisher[:tasker_core_specs] }.new
  rescue LoadError
    PublisherOfEvents.new
  end

  it "reach a publisher of dry-events, which knows them all" do
    publisher = self.publisher
    told = []
    @subscription = TaskerCore.instrument_with(publisher, "task.*", "worker.*")
    publisher.subscribe("task.completed") { |event| told << event[:task_id] }
    publisher.subscribe("worker.stopped") { |event| told << event[:worker_id] }
    define_one { nil }
    task_id = run("one").task_id

    expect(told).to match([task_id, be_positive])
  end

  it "reach whatever instruments, with the patterns that are asked for" do
    told = []
    target = Object.new
    target.define_singleton_method(:instrument) { |name, payload| told << [name, payload[:task_id]] }
    task_id = pass_on(target, "step.succeeded")
    expect(told).to eq([["step.succeeded.tasker_core", task_id]])
  end

  it "are refused by what cannot take them" do
    expect { TaskerCore.instrument_with(Object.new) }.to raise_error(TaskerCore::InvalidArgument, /ActiveSupport/)
  end
end
