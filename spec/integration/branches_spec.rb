# frozen_string_literal: true

RSpec.describe "Decisions and conditions", :database do
  include CommandLine
  include Workflows

  let(:workflow) { File.join(CommandLine::ROOT, "spec/fixtures/branches_workflow.rb") }

  # A step "route" that decides between "air" and "road", and "join", which joins those that ran.
  def define_fork(&route)
    handler("Route", &route)
    handler("Part") { |_, _, step| step.name }
    TaskerCore.define("fork") do
      step "route", handler: "Route", decides: true, retry: Workflows::RETRY_AT_ONCE
      %w[air road].each { |name| step name, handler: "Part", depends_on: "route" }
      step "join", handler: "Part", depends_on: %w[air road], join: "none_failed"
    end
  end

  # A step "pay" that is executed under a condition, and "after", which needs it.
  def define_conditional(condition)
    handler("Part") { |_, _, step| { "step" => step.name } }
    TaskerCore.define("conditional") do
      step "check", handler: "Part"
      step "pay", handler: "Part", depends_on: "check", when: condition
      step "after", handler: "Part", depends_on: "pay"
    end
  end

  def states(result)
    result.steps.to_h { |step| [step.name, step.state] }
  end

  def summary(result, step)
    TaskerCore.explain(result.task_id, step: step)["steps"].first["summary"]
  end

  def failure_of(result, step)
    result.steps.find { |one| one.name == step }.error
  end

  describe "a decision step" do
    it "has the branches executed that it takes, and the others skipped" do
      define_fork { |_, _, step| step.take(:road) }
      result = run("fork")
      expect(states(result).values_at("route", "air", "road", "join")).to eq(%w[complete skipped complete complete])
      expect(result.results_of("route")).to eq(["road"])
      expect(summary(result, "air")).to eq("skipped: route took road, not this branch")
      expect(summary(result, "route")).to end_with("; took road")
      expect(TaskerCore.explain(result.task_id, step: "air")["steps"].first["history"].last)
        .to include("cause" => "skipped", "detail" => { "because" => "not_taken", "decision" => "route" })
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "takes nothing, or all, and keeps its results besides" do
      define_fork do |task, _, step|
        task.context["all"] ? step.take(%w[air road]) : step.take
        { "by" => "rule 7" }
      end
      result = run("fork")
      expect(states(result)).to eq("route" => "complete", "air" => "skipped", "road" => "skipped", "join" => "skipped")
      expect(result.results_of("route")).to eq("by" => "rule 7")
      expect(summary(result, "air")).to eq("skipped: route took no branch")
      expect(states(run("fork", context: { all: true })).values).to all(eq("complete"))
    end

    it "takes what process said, whatever process_results does" do
      define_fork { |_, _, step| step.take("air") }
      Route.class_eval do
        def process_results(step, _output, _initial)
          step.take("road")
          step.results = "changed"
        end
      end
      result = run("fork")
      expect(states(result).values_at("air", "road")).to eq(%w[complete skipped])
      expect(result.results_of("route")).to eq("changed")
    end

    it "fails for good where it does not say what it takes, or takes what is no branch of it" do
      define_fork { |task, _, step| step.take(task.context["take"]) if task.context.key?("take") }
      silent = run("fork")
      expect(silent.state).to eq("error")
      expect(failure_of(silent, "route")).to include(
        "kind" => "permanent", "code" => "INVALID_DECISION",
        "message" => 'step "route" decides, and its handler did not say which branches it takes; call step.take with ' \
                     'the names of some of "air", "road", or without any to take none'
      )
      wrong = run("fork", context: { take: "rode" })
      expect(failure_of(wrong, "route")).to include(
        "kind" => "permanent", "code" => "INVALID_DECISION",
        "message" => 'step "route" takes "rode", which is not a branch of it; allowed: "air", "road"; ' \
                     'did you mean "road"?'
      )
      expect(states(wrong).values_at("route", "air", "road")).to eq(%w[error pending pending])
    end

    it "is one by its template only" do
      define_one { |_, _, step| step.take("only") }
      result = run("one")
      expect(failure_of(result, "only")).to include(
        "kind" => "permanent", "message" => 'step "only" does not decide; add decides: true to it in the template'
      )
      expect { define_one(decides: true) { nil } }
        .to raise_error(TaskerCore::InvalidTemplate, / decides .*no other step depends on it/)
    end

    it "is resolved by an operator who says what is taken" do
      define_fork { |_, _, step| step.take("air") }
      task_id = TaskerCore.submit("fork")
      expect { TaskerCore.resolve(task_id, "route") }
        .to raise_error(TaskerCore::InvalidArgument, /take is nil; allowed: the names .* of "air", "road"/)
      expect { TaskerCore.resolve(task_id, "route", take: ["rode"]) }
        .to raise_error(TaskerCore::InvalidArgument, /take is \["rode"\]; allowed: names of branches: "air", "road"/)
      expect { TaskerCore.resolve(task_id, "join", take: ["air"]) }
        .to raise_error(TaskerCore::InvalidArgument, /the step does not decide/)
      TaskerCore.resolve(task_id, "route", results: 1, take: :road, actor: "ada")
      working { TaskerCore.wait(task_id, timeout: 30) }
      result = TaskerCore.result(task_id)
      expect(states(result)).to include("route" => "resolved_manually", "air" => "skipped", "join" => "complete")
      expect(summary(result, "route")).to eq("ada gave its results; took road")
      expect(summary(result, "air")).to eq("skipped: route took road, not this branch")
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end
  end

  describe "a condition" do
    it "leaves a step out where it is not met, and what needs it" do
      define_conditional("context.amount > 100 && results.check.step == 'check'")
      expect(states(run("conditional", context: { amount: 101 })).values).to all(eq("complete"))
      result = run("conditional", context: { amount: 100 })
      expect(states(result)).to eq("check" => "complete", "pay" => "skipped", "after" => "skipped")
      expect(result.steps.find { |step| step.name == "pay" }.attempts).to eq(0)
      expect(summary(result, "pay"))
        .to eq("skipped: its condition context.amount > 100 && results.check.step == 'check' was not met")
      expect(TaskerCore.explain(result.task_id, step: "pay")["steps"].first["history"].last)
        .to include("cause" => "condition_unmet", "to" => "skipped")
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "fails its step where it cannot be told, and the worker goes on" do
      define_conditional("context.amount > 100")
      {
        {} => "No such key: amount", { amount: "a lot" } => "the condition context.amount > 100 cannot be told: ",
        { amount: nil } => "cannot be told"
      }.each do |context, reason|
        result = run("conditional", context: context)
        expect(states(result)).to eq("check" => "complete", "pay" => "error", "after" => "pending")
        expect(failure_of(result, "pay")).to include("kind" => "permanent", "class" => "TaskerCore::ConditionError",
                                                     "message" => include(reason))
      end
      expect(states(run("conditional", context: { amount: 101 })).values).to all(eq("complete"))
    end

    it "is parsed when its template is loaded" do
      expect { define_conditional("context.amount >") }
        .to raise_error(TaskerCore::InvalidTemplate, / when \(step "pay"\) .*at character 17/)
      expect { define_conditional("results.chek.ok") }
        .to raise_error(TaskerCore::InvalidTemplate, /not a parent of the step; parents: check; did you mean "check"/)
    end
  end

  describe "a condition on an edge" do
    # A step "check", whose amount decides whether it counts for "pay"; "join" needs one of both.
    def define_edges(condition = "results.check > 100 && !has(context.free)", join: "all_complete")
      handler("Check") { |task| task.context["amount"] }
      handler("Part") { |_, _, step| step.name }
      TaskerCore.define("edges") do
        step "check", handler: "Check"
        step "other", handler: "Part"
        step "pay", handler: "Part", depends_on: [{ step: "check", when: condition }, "other"], join: join
        step "note", handler: "Part", depends_on: "check"
      end
    end

    it "has the parent count as skipped for this child where it is not met" do
      define_edges
      result = run("edges", context: { amount: 101 })
      expect(states(result).values).to all(eq("complete"))
      expect(summary(result, "check")).to match(/ in attempt 1 after \S+ \w+\z/)
      result = run("edges", context: { amount: 100 })
      expect(states(result).values_at("check", "other", "pay", "note")).to eq(%w[complete complete skipped complete])
      expect(summary(result, "pay")).to eq(
        "skipped: the condition results.check > 100 && !has(context.free) on the edge from check was not met"
      )
      expect(summary(result, "check")).to end_with("; the condition on its edge to pay was not met")
      expect(states(run("edges", context: { amount: 101, free: true }))["pay"]).to eq("skipped")
      TaskerCore.rerun(result.task_id, "check")
      working { TaskerCore.wait(result.task_id, timeout: 30) }
      expect(states(TaskerCore.result(result.task_id))["pay"]).to eq("skipped")
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "leaves what follows to the join policy" do
      define_edges(join: "any_complete")
      result = run("edges", context: { amount: 1 })
      expect(states(result).values).to all(eq("complete"))
      fork_id = TaskerCore.fork(result.task_id, from: "pay")
      working { TaskerCore.wait(fork_id, timeout: 30) }
      expect(states(TaskerCore.result(fork_id)).values).to all(eq("complete"))
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "is evaluated when an operator gives the parent's results" do
      define_edges
      ids = [100, 101].map do |amount|
        TaskerCore.submit("edges", context: { amount: 0 }).tap { |id| TaskerCore.resolve(id, "check", results: amount) }
      end
      working { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
      expect(ids.map { |id| states(TaskerCore.result(id))["pay"] }).to eq(%w[skipped complete])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "fails the child where it cannot be told" do
      define_edges("results.check.amount > 100")
      result = run("edges", context: { amount: 5 })
      expect(states(result).values_at("check", "other", "pay", "note")).to eq(%w[complete complete error complete])
      expect(failure_of(result, "pay")).to include("class" => "TaskerCore::ConditionError",
                                                   "message" => include("on the edge from check, cannot be told"))
    end

    it "is named beside the decision that it may have left a branch out for" do
      handler("Route") do |task, _, step|
        step.take(:air, :road)
        task.context
      end
      handler("Ship") { nil }
      TaskerCore.define("both") do
        step "route", handler: "Route", decides: true
        step "air", handler: "Ship", depends_on: [{ step: "route", when: "results.route.amount > 5" }]
        step "road", handler: "Ship", depends_on: "route"
      end
      expect(summary(run("both", context: { amount: 1 }), "air")).to eq(
        "skipped: route took road, not this branch, or the condition results.route.amount > 5 on the edge was not met"
      )
    end

    it "is parsed when its template is loaded" do
      expect { define_edges("results.other > 1") }
        .to raise_error(TaskerCore::InvalidTemplate,
                        / depends_on\[0\]\.when \(step "pay"\) .*not a parent/)
      expect { define_edges(5) }.to raise_error(TaskerCore::InvalidTemplate, /an expression in CEL/)
    end
  end

  it "on edges are the same whichever of two worker processes executes the parents" do
    load workflow
    amounts = [[9, 9], [9, 1], [1, 9], [1, 1]].cycle.first(40)
    task_ids = in_two_processes(workflow) do
      contexts = amounts.map { |left, right| { left: left, right: right, least: 5 } }
      TaskerCore.submit_all("edges", contexts: contexts).each { |id| TaskerCore.wait(id, timeout: 60) }
    end

    seen = task_ids.map { |id| states(TaskerCore.result(id)).values_at("both", "either", "after") }
    expected = amounts.map do |pair|
      [pair.min > 5, pair.max > 5, true].map { |met| met ? "complete" : "skipped" }
    end
    expect(seen).to eq(expected)
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "are the same whichever of two worker processes executes them" do
    load workflow
    contexts = [[%w[air], 1], [%w[road mail], 1], [%w[road mail], 9], [%w[mail], 9], [[], 1]].cycle.first(40)
    task_ids = in_two_processes(workflow) do
      ids = contexts.map { |take, weight| TaskerCore.submit("branches", context: { take: take, weight: weight }) }
      ids.each { |id| TaskerCore.wait(id, timeout: 60) }
    end

    ran = task_ids.map { |id| states(TaskerCore.result(id)).select { |_, state| state == "complete" }.keys }
    expected = contexts.map do |take, weight|
      parts = weight < 5 ? take : take - ["mail"]
      ["route", *(%w[air road mail] & parts), *(%w[join last] if parts.any?)]
    end
    expect(ran.map(&:sort)).to eq(expected.map(&:sort))
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end
end
