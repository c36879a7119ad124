# frozen_string_literal: true

RSpec.describe "While the database is away", :database do
  include Outages
  include Workflows

  # Reports that the database was taken away, across threads.
  let(:away) { Thread::Queue.new }

  def take_away_once(proxy)
    return if @taken

    @taken = true
    take_away(proxy)
    away << true
    nil
  end

  # The answer to the first commit in the block is lost, and whatever comes next takes its time.
  def without_answer
    through_proxy do |proxy|
      proxy.cut_at_commit(:after, times: 1)
      proxy.delay(0.05)
      yield
    end
    use_database(database_url)
  end

  # Runs a task in the middle of which the database is taken away.
  #
  # @return [TaskerCore::TaskResult]
  def run_through(proxy, template)
    working do
      task_id = TaskerCore.submit(template)
      away.pop
      bring_back(proxy)
      TaskerCore.wait(task_id, timeout: 30)
      yield task_id if block_given?
      TaskerCore.result(task_id)
    end
  end

  # What the handler of "last" asks for, whose only attempt must not fail.
  { "the results of any step" => ->(sequence, _) { sequence.results_of("first") },
    "the state of any step" => ->(sequence, _) { sequence.state_of("first") },
    "the items of a map step" => ->(sequence, _) { sequence.each_item("each").map(&:results) },
    "a signal" => ->(_, step) { step.signal("none") },
    "a checkpoint" => ->(_, step) { step.checkpoint(cursor: 1) || step.cursor },
    "another workflow" => ->(_, step) { step.run_workflow("other") } }
    .zip([1, "complete", [0, 1], nil, 1, { "only" => 7 }]).each do |(what, ask), answer|
    it "waits for #{what}" do
      handler("Number") { |_, _, step| step.item || 1 }
      through_proxy do |proxy|
        handler("Last") do |_, sequence, step|
          take_away_once(proxy)
          { "told" => ask.call(sequence, step) }
        end
        define_one("other") { 7 }
        TaskerCore.define("asks") do
          step "first", handler: "Number"
          step "each", handler: "Number", depends_on: "first", map: { over: "[0, 1]" }
          step "last", handler: "Last", depends_on: "each", retry_limit: 1
        end
        result = run_through(proxy, "asks")
        expect(result.step("last")).to have_attributes(state: "complete", results: { "told" => answer })
      end
    end
  end

  # A second request would do more than the first has done: it is not sent where the answer to that is lost.
  { rerun: ["complete", proc { 7 }, ->(task_id) { TaskerCore.rerun(task_id, "only") }],
    retry: ["error", proc { raise TaskerCore::PermanentError, "no" }, ->(task_id) { TaskerCore.retry(task_id) }] }
    .each do |kind, (state, conduct, ask)|
    it "executes a step once more for a #{kind} whose answer is lost" do
      define_one(&conduct)
      working do
        task_id = TaskerCore.submit("one")
        TaskerCore.wait(task_id, timeout: 30)
        without_answer { expect { ask.call(task_id) }.to raise_error(TaskerCore::DatabaseUnavailable) }
        expect(TaskerCore.wait(task_id, timeout: 30)).to have_attributes(state: state)
        expect(TaskerCore.result(task_id).step("only").attempts).to eq(2)
      end
    end
  end

  it "does not say that a request was refused which took place, and whose answer was lost" do
    define_one { 7 }
    task_id = TaskerCore.submit("one")
    TaskerCore.pause(task_id)
    working do
      without_answer { expect { TaskerCore.resume(task_id) }.to raise_error(TaskerCore::DatabaseUnavailable) }
      expect(TaskerCore.wait(task_id, timeout: 30)).to be_complete
    end
  end

  it "fails no step that runs a workflow by itself" do
    through_proxy do |proxy|
      cut = -> { take_away_once(proxy) }
      stub_const("Above", Class.new(TaskerCore::StepHandler::Workflow)).define_method(:context) { |*| cut.call }
      define_one("other") { 7 }
      TaskerCore.define("above") do
        step "runs", handler: "Above", workflow: { name: "other" }, retry_limit: 1
      end
      expect(run_through(proxy, "above").results_of("runs")).to eq("only" => 7)
    end
  end

  it "counts nothing against a step that undoes another, before its handler has begun" do
    handler("Undo") { |_, sequence, step| sequence.results_of(step.name) }
    handler("Pay") { "paid" }
    handler("Ship") { raise TaskerCore::PermanentError, "out of stock" }
    TaskerCore.define("order") do
      step "pay", handler: "Pay", compensate: { handler_class: "Undo", default_retry_limit: 1 }
      step "ship", handler: "Ship", depends_on: "pay"
    end
    through_proxy do |proxy|
      allow(TaskerCore::Step).to receive(:new).and_wrap_original do |original, *given|
        take_away_once(proxy) if given[2].template.compensation?
        original.call(*given)
      end
      undone = nil
      run_through(proxy, "order") do |task_id|
        by = wait_until("it is undone") { TaskerCore.status(task_id).compensated_by }
        TaskerCore.wait(by, timeout: 30)
        undone = TaskerCore.result(by).step("pay")
      end
      expect(undone).to have_attributes(state: "complete", attempts: 1, results: "paid")
    end
  end
end
