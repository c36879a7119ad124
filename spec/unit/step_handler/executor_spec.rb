# frozen_string_literal: true

RSpec.describe TaskerCore::StepHandler::Executor do
  let(:handler) { Class.new(TaskerCore::StepHandler::Base) }

  it "leaves handlers to workers unless they say otherwise" do
    expect(handler.executor_options).to be_nil
  end

  it "goes for the classes below, until one of them says otherwise" do
    handler.executor(:active_job, queue: :rendering, timeout: 60)
    below = Class.new(handler)
    other = Class.new(below) { executor :active_job, priority: 1 }

    expect(below.executor_options).to eq(queue: "rendering", priority: nil, timeout: 60)
    expect(other.executor_options).to eq(queue: nil, priority: 1, timeout: nil)
  end

  it "extends classes of another kind" do
    expect(Class.new.extend(described_class).executor_options).to be_nil
  end

  it "refuses executors that there are not, and times that are none" do
    expect { handler.executor(:threads) }
      .to raise_error(TaskerCore::InvalidArgument, "executor is :threads, allowed: active_job")
    expect { handler.executor(nil) }.to raise_error(TaskerCore::InvalidArgument, "executor is nil, allowed: active_job")
    expect { handler.executor(:active_job, timeout: -1) }.to raise_error(TaskerCore::InvalidArgument, /timeout is -1/)
    expect(handler.executor_options).to be_nil
  end
end
