# frozen_string_literal: true

RSpec.describe "What is around the attempts of steps", :database do
  include Workflows

  let(:seen) { Queue.new }

  before { define_one { |task| seen << "process #{task.context["n"]}" } }
  after { TaskerCore.configure { |c| c.around_steps = [] } }

  def around_steps(*wrappers)
    TaskerCore.configure { |c| c.around_steps = wrappers }
  end

  def noting(name)
    lambda do |task, step, &attempt|
      seen << "#{name} #{task.task_id} #{step.name}"
      attempt.call
    ensure
      seen << "after #{name}"
    end
  end

  def all_seen
    Array.new(seen.size) { seen.pop }
  end

  it "is called with task and step, the first one outermost" do
    around_steps(noting("outer"), noting("inner"))
    task_id = run("one", context: { n: 7 }).task_id

    expect(all_seen).to eq(["outer #{task_id} only", "inner #{task_id} only", "process 7", "after inner",
                            "after outer"])
  end

  it "sees what the handler raises, and its step fails as it would" do
    define_one("failing") { raise TaskerCore::PermanentError, "no" }
    raised = Queue.new
    around_steps(lambda do |*, &attempt|
      attempt.call
    rescue StandardError => e
      raised << e.message
      raise
    end)

    expect(run("failing").step("only").error).to include("message" => "no")
    expect(raised.pop).to eq("no")
  end

  it "is left, too, where a handler waits" do
    define_one("waiting") { |_, _, step| step.sleep_for(0.01) if step.waits.zero? }
    around_steps(noting("outer"))
    run("waiting")

    expect(all_seen.grep(/after/).size).to eq(2)
  end

  it "fails the attempt when it does not call the block" do
    define_one("forgotten", retry_limit: 1) { seen << "process" }
    around_steps(->(*) {})

    expect(run("forgotten").step("only").error["message"]).to match(/around_steps holds did not call its block/)
    expect(seen).to be_empty
  end
end
