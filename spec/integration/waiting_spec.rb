# frozen_string_literal: true

require "tmpdir"

RSpec.describe "A step that waits", :database do
  include Workflows
  include CommandLine

  def wait_for_state(task_id, state)
    Waiting.wait_until("task #{task_id} is #{state}", within: Workflows::PATIENCE_SECONDS) do
      TaskerCore.status(task_id).state == state
    end
  end

  def summary(task_id, step = "only")
    TaskerCore.explain(task_id, step: step)["steps"].first["summary"]
  end

  def same_time(text)
    satisfy("be at #{text}") { |other| Time.iso8601(other) == Time.iso8601(text) }
  end

  def looked(task_id)
    TaskerCore.explain(task_id, step: "look")["steps"].first.dig("poll", "looks")
  end

  # How often it had looked, at each look that was not the last one.
  def all_looks(task_id)
    history = TaskerCore.explain(task_id, step: "only")["steps"].first["history"]
    history.filter_map { |change| change.dig("detail", "poll", "looks") }
  end

  def finish(task_id)
    TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
    TaskerCore.result(task_id)
  end

  describe "for a time" do
    it "begins anew, knows how often it has waited, and has what it kept" do
      define_one do |_, _, step|
        step.sleep_for(0.05, data: { "page" => step.waits + 1 }) if step.waits < 3
        { "waits" => step.waits, "data" => step.data, "attempt" => step.attempt }
      end
      only = run("one").step("only")
      expect(only.results).to eq("waits" => 3, "data" => { "page" => 3 }, "attempt" => 4)
      expect(sql("SELECT outcome, count(*) FROM tasker_attempts GROUP BY 1 ORDER BY 1").map(&:values))
        .to eq([%w[succeeded 1], %w[waiting 3]])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "counts as no failure, however often" do
      define_one(retry_limit: 1) { |_, _, step| step.sleep_for(0) if step.waits < 5 }
      expect(run("one")).to be_complete
    end

    it "comes at that time, not before" do
      times = []
      at = nil
      define_one do |_, _, step|
        times << Time.now
        step.sleep_until(at ||= Time.now + 0.5)
        times << Time.now
      end
      run("one")
      expect(times.size).to eq(3)
      expect(times[1]).to be_between(at, at + 5)
    end

    it "goes on at once when the time has passed" do
      define_one { |_, _, step| [step.sleep_until(Time.now - 1), step.attempt] }
      expect(run("one").results_of("only")).to eq([nil, 1])
    end

    it "keeps its task waiting, which says until when" do
      define_one { |_, _, step| step.waits.zero? ? step.sleep_for(30 * 86_400) : step.waits }
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "waiting")
        expect(summary(task_id)).to match(/\Awaits until 20\S+Z \(in 30 days\)\z/)
        expect(TaskerCore.explain(task_id)["summary"]).to include("1 waits for a time or a signal, nothing else can")
        TaskerCore.retry(task_id, step: "only")
        expect(finish(task_id).results_of("only")).to eq(1)
      end
    end

    it "is refused what is no time" do
      define_one { |task, _, step| step.sleep_for(task.context["seconds"]) }
      ["soon", -5, nil].each do |seconds|
        said = run("one", context: { seconds: seconds }, worker: {}).step("only").error["message"]
        expect(said).to include("seconds is #{seconds.inspect}, allowed: a number of seconds, not negative")
      end
    end

    it "is refused a signal that only the engine sends" do
      name = "tasker_core.ended:1:x"
      define_one(retry_limit: 1) { |task, _, step| step.public_send(task.context["how"], name) }
      %w[wait_for signal].each do |how|
        said = run("one", context: { how: how }).step("only").error["message"]
        expect(said).to include("name is #{name.inspect}; allowed: a name that does not begin with tasker_core.")
      end
    end

    it "keeps what it kept when it fails after the wait" do
      define_one do |_, _, step|
        step.sleep_for(0, data: [7]) if step.waits.zero?
        raise "once" if step.attempt == 2

        [step.data, step.waits]
      end
      expect(run("one").results_of("only")).to eq([[7], 1])
    end
  end

  describe "after it got ready" do
    it "starts so much later, at the start of a task and after other steps" do
      times = {}
      handler("Any") { |_, _, step| (times[step.name] = Time.now) && nil }
      TaskerCore.define("delayed") do
        step "first", handler: "Any", delay: 0.3
        step "second", handler: "Any", depends_on: "first", delay: 0.4
      end
      begun = Time.now
      run("delayed")
      expect(times["first"] - begun).to be >= 0.3
      expect(times["second"] - times["first"]).to be >= 0.4
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "says when it may start" do
      define_one(delay: 3_600) { nil }
      task_id = TaskerCore.submit("one")
      expect(summary(task_id)).to match(/\Aready, and its template has it wait: it may start at \S+ \(in 60 min\)\z/)
      expect(TaskerCore.explain(task_id)["summary"])
        .to match(/\Ano step was claimed yet; .*, 1 is delayed and may start at \S+ \(in 60 min\)\z/)
    end

    it "has its task say when its next step may start" do
      handler("Any") { 1 }
      TaskerCore.define("delayed") do
        step "first", handler: "Any"
        step "second", handler: "Any", depends_on: "first", delay: 3_600
      end
      task_id = TaskerCore.submit("delayed")
      working do
        Waiting.wait_until("the first is complete", within: Workflows::PATIENCE_SECONDS) do
          TaskerCore.result(task_id).step("first").state == "complete"
        end
      end
      expect(TaskerCore.explain(task_id)["summary"]).to match(
        /\A1 of 2 steps are complete, 0 run, 0 are ready, 1 is delayed and may start at \S+ \(in 60 min\)\z/
      )
    end
  end

  describe "for a signal" do
    before { define_one { |_, _, step| step.wait_for("go") } }

    it "gets what it carries, when it is sent while the step waits" do
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "waiting")
        expect(summary(task_id)).to match(/\Awaits for the signal "go", since \S+ \(.* ago\)\z/)
        TaskerCore.signal(task_id, "stop")
        TaskerCore.signal(task_id, "go", { n: 1 }, actor: "mara")
        expect(finish(task_id).results_of("only")).to eq("n" => 1)
      end
      change = TaskerCore.explain(task_id, step: "only")["steps"].first["history"]
                         .find { |found| found["cause"] == "signalled" }
      expect(change["detail"]).to include("signal" => "go", "actor" => "mara")
    end

    it "gets it at once, when it was sent before the step began" do
      task_id = TaskerCore.submit("one")
      TaskerCore.signal(task_id, :go, [1, nil])
      TaskerCore.signal(task_id, "go", "later")
      working { expect(finish(task_id).step("only")).to have_attributes(results: [1, nil], attempts: 1) }
    end

    it "gets it when it comes between the look and the end of the attempt" do
      handler("OnlyHandler") do |task, _, step|
        looked = step.signal("go")
        TaskerCore.signal(task.task_id, "go", 7) if looked.nil?
        looked ? looked.payload : throw(TaskerCore::Step::Waits::TAG, [:wait, '{"signal":"go"}'])
      end
      expect(run("one").step("only")).to have_attributes(results: 7, attempts: 2)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "is sent once for each idempotency key" do
      task_id = TaskerCore.submit("one")
      ids = Array.new(3) { |n| TaskerCore.signal(task_id, "go", n, idempotency_key: "mail-1") }
      expect(ids.uniq.size).to eq(1)
      working { expect(finish(task_id).results_of("only")).to eq(0) }
      expect(TaskerCore.signal(task_id, "go", idempotency_key: "mail-1")).to eq(ids.first)
    end

    it "is refused for a task that is over, or that is not there, and with a payload that is too large" do
      task_id = TaskerCore.submit("one")
      TaskerCore.cancel(task_id)
      expect { TaskerCore.signal(task_id, "go") }.to raise_error(
        TaskerCore::InvalidTransition,
        "task #{task_id} is cancelled: it cannot take a signal; allowed: tasks that have not ended"
      )
      expect { TaskerCore.signal(4_711, "go") }.to raise_error(TaskerCore::NotFound, /4711/)
      open_id = TaskerCore.submit("one")
      expect { TaskerCore.signal(open_id, "go", "x" * 2_000_000) }.to raise_error(TaskerCore::InvalidContext, /payload/)
      expect { TaskerCore.signal(open_id, "x" * 129) }.to raise_error(TaskerCore::InvalidArgument, /128 bytes/)
      expect(count("tasker_signals")).to eq(0)
    end

    it "can be paused, cancelled and resolved while it waits" do
      ids = Array.new(3) { TaskerCore.submit("one") }
      working do
        ids.each { |id| wait_for_state(id, "waiting") }
        TaskerCore.pause(ids[0])
        TaskerCore.signal(ids[0], "go", "paused")
        expect(TaskerCore.cancel(ids[1]).state).to eq("cancelled")
        expect(TaskerCore.resolve(ids[2], "only", results: 5).state).to eq("complete")
        expect(TaskerCore.resume(ids[0]).state).to eq("in_progress")
        expect(finish(ids[0]).results_of("only")).to eq("paused")
      end
      expect(count("tasker_ready_steps")).to eq(0)
    end

    it "is a command" do
      task_id = TaskerCore.submit("one")
      sent = tasker("signal", task_id.to_s, "go", '{"n": 2}', "--idempotency-key", "k", "--json")
      expect(sent.json).to include("task_id" => task_id, "name" => "go")
      expect(tasker("signal", "4711", "go").status).to eq(2)
      working { expect(finish(task_id).results_of("only")).to eq("n" => 2) }
    end
  end

  describe "for a signal that does not come" do
    it "ends in error, and waits anew when it is tried again" do
      timeout = 0.1
      define_one { |_, _, step| step.wait_for("go", timeout: timeout) }
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "error")
        expect(summary(task_id)).to include('SignalTimeout: the signal "go" did not come in time')
        timeout = 60
        TaskerCore.retry(task_id)
        wait_for_state(task_id, "waiting")
        expect(summary(task_id)).to match(/"go", since .*, at the latest until \S+ \(in \d+\.\d s\)/)
        TaskerCore.signal(task_id, "go", 1)
        expect(finish(task_id).results_of("only")).to eq(1)
      end
    end

    it "can go on without it" do
      define_one do |_, _, step|
        step.wait_for("go", timeout: 0.1)
      rescue TaskerCore::SignalTimeout
        ["nobody", step.waits]
      end
      expect(run("one").results_of("only")).to eq(["nobody", 1])
    end

    it "keeps its deadline when it begins anew before it" do
      define_one { |_, _, step| step.wait_for("go", timeout: 0.6, data: step.attempt) }
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "waiting")
        deadline = -> { sql("SELECT deadline FROM tasker_step_waits").first["deadline"] }
        before = deadline.call
        sql("UPDATE tasker_ready_steps SET available_at = now()")
        Waiting.wait_until("it waits again") { TaskerCore.status(task_id).attempts_total == 2 }
        expect(deadline.call).to eq(before)
        wait_for_state(task_id, "error")
      end
    end
  end

  it "refuses what is no signal's id, whatever was sent" do
    define_one(retry_limit: 1) do |_, _, step|
      [-> { step.signal("go", after: "x") }, -> { step.wait_for("go", after: 0) }].map do |call|
        call.call
      rescue TaskerCore::InvalidArgument => e
        e.message
      end
    end
    expect(run("one").results_of("only"))
      .to match([/\Aafter is "x", allowed: a whole number from 1/, /\Aafter is 0, allowed: a whole number from 1/])
  end

  describe "for a decision" do
    before do
      TaskerCore.define("purchase") { step "approval", handler: TaskerCore::StepHandler::Approval }
    end

    it "says who approved it, when and with which comment" do
      task_id = TaskerCore.submit("purchase")
      working do
        wait_for_state(task_id, "waiting")
        TaskerCore.approve(task_id, "approval", by: "mara", comment: "within budget")
        results = finish(task_id).results_of("approval")
        expect(results).to include("approved" => true, "by" => "mara", "comment" => "within budget")
        expect(Time.iso8601(results["at"])).to be_within(60).of(Time.now)
      end
    end

    it "is refused of a step that the task does not have" do
      task_id = TaskerCore.submit("purchase")
      expect { TaskerCore.approve(task_id, "aproval", by: "mara") }
        .to raise_error(TaskerCore::InvalidArgument, /"aproval".*did you mean "approval"/)
      expect(count("tasker_signals")).to eq(0)
    end

    it "is refused of a step that waits for none, and says what that is" do
      define_one { |_, _, step| step.wait_for("papers") }
      task_id = TaskerCore.submit("one")
      expected = [TaskerCore::InvalidArgument,
                  /\Astep is "only", whose handler is OnlyHandler; allowed: .* is TaskerCore::StepHandler::Approval /]
      expect { TaskerCore.approve(task_id, "only", by: "mara") }.to raise_error(*expected)
      working do
        wait_for_state(task_id, "waiting")
        expect { TaskerCore.reject(task_id, "only", by: "mara") }.to raise_error(*expected)
      end
      expect(count("tasker_signals")).to eq(0)
    end

    it "is for kinds of approvals too, and for handlers that wait for the signal of their step's name" do
      stub_const("ManagerApproval", Class.new(TaskerCore::StepHandler::Approval))
      TaskerCore.define("managed") { step "sign", handler: "ManagerApproval" }
      define_one { |_, _, step| step.wait_for(step.name)["by"] }
      managed, one = %w[managed one].map { |name| TaskerCore.submit(name) }
      TaskerCore.approve(managed, "sign", by: "mara")
      working do
        wait_for_state(one, "waiting")
        TaskerCore.approve(one, "only", by: "ada")
        expect(finish(one).results_of("only")).to eq("ada")
        expect(finish(managed).results_of("sign")).to include("by" => "mara")
      end
    end

    it "is refused of a step that was decided before, and says by whom and when" do
      task_id = TaskerCore.submit("purchase")
      TaskerCore.approve(task_id, "approval", by: "mara")
      refusal = /\Astep "approval" of task #{task_id} was decided by mara at \d{4}-[^ ]+Z, and what was decided first/
      again = lambda do
        expect { TaskerCore.reject(task_id, "approval", by: "ada") }
          .to raise_error(TaskerCore::InvalidTransition, refusal) { |error|
            expect(error.details).to include("step" => "approval", "decided_by" => "mara")
          }
      end
      again.call
      working { finish(task_id) }
      again.call
      expect(count("tasker_signals")).to eq(1)
    end

    it "is refused of a step that has ended without one" do
      TaskerCore.define("optional") do
        step "approval", handler: TaskerCore::StepHandler::Approval, skippable: true
        step "other", handler: TaskerCore::StepHandler::Approval
      end
      task_id = TaskerCore.submit("optional")
      TaskerCore.skip(task_id, "approval")
      expect { TaskerCore.approve(task_id, "approval", by: "mara") }.to raise_error(
        TaskerCore::InvalidTransition,
        "step \"approval\" of task #{task_id} is skipped: it cannot take a signal; " \
        "allowed: steps that are in error or have not ended"
      )
    end

    it "ends in error when it is rejected" do
      task_id = TaskerCore.submit("purchase")
      TaskerCore.reject(task_id, "approval", by: "mara", comment: "too expensive")
      working { expect(finish(task_id).state).to eq("error") }
      expect(TaskerCore.result(task_id).step("approval").error)
        .to include("message" => "rejected by mara: too expensive", "code" => "REJECTED")
    end
  end

  describe "for a condition" do
    it "looks again, at longer and longer intervals" do
      looks = []
      define_one do |_, _, step|
        step.poll(every: 0.02, backoff: 2, max: 0.05) { (looks << step.waits) && step.waits == 3 && "found" }
      end
      expect(run("one").results_of("only")).to eq("found")
      expect(looks).to eq([0, 1, 2, 3])
    end

    it "is refused with intervals that are none, before the first look" do
      problems = { { every: 0 } => /\Aevery is 0, allowed: a number from 0.001 to/, { every: nil } => /\Aevery/,
                   { backoff: "x" } => /\Abackoff is "x", allowed: a number from 1/, { max: -3 } => /\Amax is -3/,
                   { every: 5, max: 1 } => /\Amax is 1, allowed: a number from 5 to/,
                   { backoff: 0.5 } => /\Abackoff is 0.5/, { timeout: "x" } => /\Atimeout is "x"/ }
      problems.each do |options, problem|
        define_one(retryable: false) { |_, _, step| step.poll(**options) { raise "not to be looked at" } }
        expect(run("one").step("only").error["message"]).to match(problem)
      end
    end

    it "needs a block" do
      define_one(retryable: false) { |_, _, step| step.poll }
      expect(run("one").step("only").error)
        .to include("class" => "TaskerCore::InvalidArgument", "message" => /\Apoll needs a block/)
    end

    it "waits as long as it is told between two looks, also where that is long" do
      define_one { |_, _, step| step.poll(every: 3_600) { false } }
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "waiting")
        expect(summary(task_id)).to match(
          /\Apolls: it has looked 1 time, last at .*, and looks again at \S+ \(in 60 min\), for as long as it takes\z/
        )
      end
    end

    it "is no longer spoken of when the step waits for something else" do
      define_one do |_, _, step|
        step.poll(every: 0.02) { step.waits == 2 }
        step.sleep_for(3_600)
      end
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "waiting")
        wait_until("it sleeps") { summary(task_id).match?(/\Awaits until \S+ \(in 60 min\)\z/) }
        expect(TaskerCore.explain(task_id, step: "only")["steps"].first).not_to have_key("poll")
      end
    end

    it "gives up in the end" do
      define_one { |_, _, step| step.poll(every: 0.02, timeout: 0.1) { false } }
      expect(run("one").step("only").error).to include("class" => "TaskerCore::PollTimeout", "code" => "POLL_TIMEOUT")
    end

    it "looks as often and as long as before where an operator has it tried again, whatever else it kept" do
      found_at = nil
      define_one do |_, _, step|
        step.sleep_for(0, data: { "page" => 7 }) if step.waits.zero?
        { "looks" => step.poll(every: 0.05, backoff: 2, timeout: 0.2) { step.attempt == found_at && step.data } }
      end
      task_id = TaskerCore.submit("one")
      retried = [1, 2].map do
        working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
        expect(TaskerCore.result(task_id).step("only").error).to include("class" => "TaskerCore::PollTimeout")
        TaskerCore.retry(task_id)
        TaskerCore.result(task_id).step("only").attempts
      end
      expect(retried.last - retried.first).to be >= 2
      found_at = retried.last + 2
      working { expect(finish(task_id).results_of("only")).to include("looks" => include("page" => 7)) }
      expect(all_looks(task_id).last).to eq(1)
    end

    it "counts anew where an operator has it look at once" do
      define_one { |_, _, step| step.poll(every: 0.1, backoff: 100, max: 86_400) { false } }
      task_id = TaskerCore.submit("one")
      working do
        wait_until("it waits for long") { all_looks(task_id).size == 2 }
        TaskerCore.retry(task_id, step: "only")
        wait_until("it has looked again") { all_looks(task_id).size > 2 }
      end
      expect(all_looks(task_id).first(3)).to eq([1, 2, 1])
    end

    it "goes by the database's clock, not by that of the host" do
      looks = 0
      allow(Time).to(receive(:now).and_wrap_original { |now| now.call + (looks * 3_600) })
      define_one { |_, _, step| step.poll(every: 0.02, timeout: 60) { (looks += 1) == 3 && "found" } }
      expect(run("one").results_of("only")).to eq("found")
    end
  end

  it "loses no signal that comes at the same time, with two processes that work" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/waiting_workflow.rb")
    load workflow
    ids = TaskerCore.submit_all("waiting", contexts: Array.new(40) { {} })
    tasker_running("work", "-r", workflow, "-c", "4") do
      tasker_running("work", "-r", workflow, "-c", "4") do |second|
        Waiting.wait_until("some wait", within: 60) { count("tasker_step_waits") > 10 }
        senders = ids.each_slice(10).map do |some|
          Thread.new { some.each { |id| TaskerCore.signal(id, "go", id) } }
        end
        second.signal("KILL")
        senders.each(&:join)
        ids.each { |id| TaskerCore.wait(id, timeout: 60) }
      end
    end
    expect(ids.map { |id| TaskerCore.result(id).results_of("gate")["payload"] }).to eq(ids)
    expect(ids.map { |id| TaskerCore.result(id).results_of("nap")["pages"] }).to all(eq(3))
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "says how often it has looked, in whichever process, when it looks again, until when, and what it keeps" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/waiting_workflow.rb")
    load workflow
    Dir.mktmpdir do |folder|
      door = File.join(folder, "door")
      task_id = TaskerCore.submit("watch", context: { door: door })
      [1, 2].each do |looks|
        tasker_running("work", "-r", workflow) { wait_until("it has looked so often") { looked(task_id) == looks } }
      end
      expect(summary(task_id, "look")).to match(
        Regexp.new('\Apolls: it has looked 2 times, last at \S+ \(.* ago\), and looks again at \S+ \(in [45] min\); ' \
                   'it gives up at \S+ \(in 24 h\); it keeps \{"page":7\}\z')
      )
      explained = JSON.parse(tasker("explain", task_id.to_s, "look", "--json").out)["steps"].first
      at, detail = explained["history"].last.values_at("at", "detail")
      expect(detail["poll"]).to match("looks" => 2, "until" => String)
      expect(explained["poll"]).to match("looks" => 2, "looked_at" => at, "next_look_at" => same_time(detail["until"]),
                                         "until" => same_time(detail["poll"]["until"]), "data" => { "page" => 7 })
      File.write(door, "open")
      TaskerCore.retry(task_id, step: "look")
      tasker_running("work", "-r", workflow) { expect(finish(task_id).results_of("look")).to eq("waits" => 3) }
      expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(3)
      expect(TaskerCore.explain(task_id, step: "look")["steps"].first).not_to have_key("poll")
    end
  end

  it "sleeps, polls, waits for a decision and is delayed alike whichever of two processes executes it" do
    load File.join(CommandLine::ROOT, "spec/fixtures/waiting_workflow.rb")
    Dir.mktmpdir do |folder|
      door = File.join(folder, "door")
      at = nil
      ids = in_two_processes(File.join(CommandLine::ROOT, "spec/fixtures/waiting_workflow.rb")) do
        at = Time.now.to_f + 3
        submitted = TaskerCore.submit_all("errand", contexts: Array.new(20) { { at: at, door: door } })
        wait_until("all look for the second time") do
          submitted.all? { |id| TaskerCore.result(id).step("look").attempts > 1 }
        end
        # Half of them are decided before they are asked for, the others afterwards.
        early, late = submitted.partition(&:even?)
        early.each { |id| TaskerCore.approve(id, "approval", by: "mara", comment: "for task #{id}") }
        File.write(door, "open")
        wait_until("the others are asked for") do
          late.all? { |id| TaskerCore.result(id).step("approval").state == "waiting" }
        end
        late.each { |id| TaskerCore.reject(id, "approval", by: "ada") }
        submitted.each { |id| TaskerCore.wait(id, timeout: 60) }
      end
      ids.each do |id|
        result = TaskerCore.result(id)
        sleep, look, stamp, delayed = %w[sleep look stamp delayed].map { |name| result.results_of(name) }
        expect(sleep).to match("woke" => (be >= at), "attempt" => 2)
        expect(look).to eq("looks" => result.step("look").attempts - 1)
        expect(delayed - stamp).to be >= 0.5
        decided = result.step("approval")
        if id.even?
          expect(decided.results).to include("approved" => true, "by" => "mara", "comment" => "for task #{id}")
        else
          expect([result.state, decided.error["code"]]).to eq(%w[error REJECTED])
        end
      end
    end
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  describe "a signal by key" do
    before do
      handler("Listen") { |_, _, step| step.wait_for("paid") }
      TaskerCore.define("listening") { step "only", handler: "Listen" }
    end

    it "goes to every task with the key that has not ended, once with an idempotency key" do
      ids = %w[a b a].map { |key| TaskerCore.submit("listening", correlation_key: key) }
      TaskerCore.cancel(TaskerCore.submit("listening", correlation_key: "a"))
      sent = Array.new(2) { TaskerCore.signal_all("paid", { by: 1 }, key: "a", idempotency_key: "p-1") }
      expect(sent).to eq([ids.values_at(0, 2)] * 2)
      rows = sql("SELECT task_id FROM tasker_signals ORDER BY 1")
      expect(rows.map { |row| row["task_id"].to_i }).to eq(ids.values_at(0, 2))
      working { ids.values_at(0, 2).each { |id| TaskerCore.wait(id, timeout: 30) } }
      expect(TaskerCore.result(ids[2]).results_of("only")).to eq("by" => 1)
      expect(TaskerCore.signal_all("paid", key: "a")).to eq([])
      outcome = tasker("signal", "--key", "b", "paid", "7", "--json")
      expect(outcome.json).to eq("key" => "b", "name" => "paid", "task_ids" => [ids[1]])
      expect([tasker("signal", "--key", "b").status, tasker("signal", "--key", "", "paid").status]).to eq([2, 2])
    end

    it "is refused with a key that is empty or too long" do
      ["", "k" * 257].each do |key|
        expect { TaskerCore.submit("listening", correlation_key: key) }
          .to raise_error(TaskerCore::InvalidArgument, /correlation_key/)
      end
      expect { TaskerCore.signal_all("paid", key: "") }.to raise_error(TaskerCore::InvalidArgument, /key/)
    end
  end
end
