# frozen_string_literal: true

RSpec.describe "Steering many tasks at once", :database do
  include Workflows
  include CommandLine

  let(:bank) { { open: false } }

  before do
    state = bank
    handler("Charge") do |task|
      next "paid" if state[:open] && !task.context["broke"]

      raise TaskerCore::PermanentError, state[:why] || task.context["why"] || "the bank is closed"
    end
    TaskerCore.define("payment") do
      step "charge", handler: "Charge"
      step "receipt", handler: "Charge", depends_on: "charge"
    end
    TaskerCore.define("coupon") { step "send", handler: "Charge", skippable: true }
  end

  # Submits payments with these contexts and has them fail.
  def fail_payments(*contexts)
    ids = TaskerCore.submit_all("payment", contexts: contexts)
    working { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
    ids
  end

  def states(ids)
    ids.map { |id| TaskerCore.status(id).state }
  end

  it "tries all failures again that are meant, once, and keeps who asked for it" do
    ids = fail_payments({}, {}, { why: "no such card" })
    bank[:open] = true
    progress = []
    report = TaskerCore.retry_all(message: "bank", actor: "ada", reason: "it is back") { |so_far|
      progress << so_far.done
    }
    expect(report).to have_attributes(action: "retry", matched: 2, done: 2, gone_on: 0, refused: [], ok?: true)
    expect(progress).to start_with(be_between(1, 2))
    expect(TaskerCore.retry_all(message: "bank").matched).to eq(0)
    working { ids.first(2).each { |id| TaskerCore.wait(id, timeout: 30) } }
    expect(states(ids)).to eq(%w[complete complete error])
    history = TaskerCore.explain(ids.first, step: "charge")["steps"].first["history"]
    expect(history.map { |change| change["detail"] }).to include("actor" => "ada", "reason" => "it is back")
  end

  it "counts and changes nothing with dry_run" do
    ids = fail_payments({}, {})
    report = TaskerCore.retry_all(dry_run: true, canary: 1)
    expect(report).to have_attributes(matched: 2, done: 0, dry_run: true, ok?: true)
    expect(report.examples).to eq([{ "task_id" => ids[1], "step" => "charge" },
                                   { "task_id" => ids[0], "step" => "charge" }])
    expect(states(ids)).to eq(%w[error error])
  end

  it "tells what refused, and goes on with the others" do
    fail_payments({})
    coupon = TaskerCore.submit("coupon")
    working { TaskerCore.wait(coupon, timeout: 30) }
    report = TaskerCore.skip_all(reason: "over")
    expect(report).to have_attributes(matched: 2, done: 1, ok?: false)
    expect(report.refused).to match([a_hash_including("task_id" => 1, "step" => "charge",
                                                      "message" => /declares skippable/)])
    expect(TaskerCore.status(coupon).state).to eq("complete")
  end

  it "counts what went on meanwhile as such" do
    ids = fail_payments({}, {})
    # Somebody else gives the results of the second one after it was listed.
    report = TaskerCore.retry_all { |so_far| TaskerCore.resolve(ids.first, "charge") if so_far.matched == 1 }
    expect(report).to have_attributes(matched: 2, done: 1, gone_on: 1, ok?: true)
  end

  { retry: {}, skip: {}, resolve: { name: "coupon", step: "send" } }.each do |action, options|
    it "leaves steps alone that have failed again since they were listed: #{action}" do
      ids = TaskerCore.submit_all("coupon", contexts: [{}, { why: "no such card" }])
      working { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
      bank[:why] = "no such coupon"
      # Somebody else tries the second one again after both were listed, the newer one first.
      report = TaskerCore.public_send("#{action}_all", state: "error", **options) do |so_far|
        next unless so_far.matched == 1

        TaskerCore.retry(ids.first)
        working { TaskerCore.wait(ids.first, timeout: 30) }
      end
      expect(report).to have_attributes(matched: 2, done: 1, gone_on: 1, ok?: true)
      expect(TaskerCore.failures(task_id: ids.first).first).to have_attributes(message: "no such coupon", attempts: 2)
    end
  end

  it "keeps to the rate" do
    fail_payments({}, {}, {})
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    TaskerCore.retry_all(rate: 10)
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be >= 0.2
  end

  it "goes on after the canaries have ended" do
    ids = fail_payments({}, {}, {}, {}, {})
    bank[:open] = true
    report = working { TaskerCore.retry_all(canary: 2, watch: 30) }
    expect(report).to have_attributes(matched: 5, done: 5, stopped: nil, ok?: true)
    expect(report.canary).to include("steps" => 2, "complete" => 2, "failed" => 0)
    working { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
    expect(states(ids).uniq).to eq(["complete"])
  end

  it "leaves the others alone when more canaries fail again than may" do
    ids = fail_payments({}, {}, {}, {})
    # The first failure is enough, the other canary may run still.
    report = working do
      TaskerCore.retry_all(canary: 2, watch: 30).tap { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
    end
    expect(report).to have_attributes(done: 2, stopped: /of 2 failed again/, ok?: false)
    expect(report.canary["failures"].first).to include(error: "TaskerCore::PermanentError",
                                                       message: "the bank is closed")
    expect(ids.first(2).map { |id| TaskerCore.status(id).attempts_total }).to eq([1, 1])
  end

  it "goes on when no more canaries fail again than may" do
    fail_payments({}, { broke: true }, { broke: true }, {})
    bank[:open] = true
    report = working { TaskerCore.retry_all(canary: 3, tolerate: 2, watch: 30) }
    expect(report).to have_attributes(done: 4, stopped: nil)
    expect(report.canary).to include("complete" => 1, "failed" => 2)
  end

  it "leaves the others alone when nothing is known of the canaries in the end" do
    fail_payments({}, {}, {})
    report = TaskerCore.retry_all(canary: 2, watch: 0.1)
    expect(report).to have_attributes(done: 2, stopped: /none of 2 has ended after 0.1 s/)
  end

  it "cancels, pauses and resumes the tasks that are meant" do
    payments = TaskerCore.submit_all("payment", contexts: [{}, {}])
    coupons = TaskerCore.submit_all("coupon", contexts: [{}, {}])
    expect(TaskerCore.pause_all(name: "payment", reason: "a look")).to have_attributes(action: "pause", done: 2)
    expect(states(payments + coupons)).to eq(%w[paused paused pending pending])
    expect(TaskerCore.pause_all(name: "payment").matched).to eq(0)
    expect(TaskerCore.resume_all(name: "payment").done).to eq(2)
    expect(TaskerCore.cancel_all(name: "coupon", state: "pending").done).to eq(2)
    expect(TaskerCore.cancel_all(name: "coupon").matched).to eq(0)
    expect(states(payments + coupons)).to eq(%w[in_progress in_progress cancelled cancelled])
    expect(TaskerCore.cancel_all(version: "7.0.0").matched).to eq(0)
    expect { TaskerCore.resume_all(state: "error") }.to raise_error(TaskerCore::InvalidArgument, /state/)
  end

  it "reads more tasks than one page holds" do
    TaskerCore.submit_all("coupon", contexts: Array.new(230) { {} })
    expect(TaskerCore.pause_all.done).to eq(230)
    expect(TaskerCore.cancel_all(state: "paused").done).to eq(230)
  end

  it "gives the same results to the steps that are meant" do
    ids = fail_payments({}, { why: "no such card" })
    report = TaskerCore.resolve_all(name: "payment", step: "charge", message: "bank", results: { by: "post" },
                                    actor: "ada", reason: "by post")
    expect(report).to have_attributes(action: "resolve", matched: 1, done: 1, ok?: true)
    expect(states(ids)).to eq(%w[in_progress error])
    expect(TaskerCore.result(ids.first).results_of("charge")).to eq("by" => "post")
    expect(TaskerCore.resolve_all(name: "payment", step: "receipt").matched).to eq(0)
    expect { TaskerCore.resolve_all(step: "charge") }.to raise_error(ArgumentError, /name/)
    expect { TaskerCore.resolve_all(name: "payment", step: "charge", results: 0.0 / 0) }
      .to raise_error(TaskerCore::InvalidArgument, /results/)
    expect(TaskerCore.resolve_all(name: "payment", step: "charge", take: ["receipt"]))
      .to have_attributes(done: 0, refused: [a_hash_including("message" => /take/)])
  end

  it "means tasks that have all of the tags" do
    ids = [%w[march], %w[march lisbon], []].map { |tags| TaskerCore.submit("payment", context: {}, tags: tags) }
    expect(TaskerCore.list(tags: %w[march]).map(&:task_id)).to eq([ids[1], ids[0]])
    expect(TaskerCore.list(tags: %w[lisbon march], name: "payment").map(&:task_id)).to eq([ids[1]])
    expect(TaskerCore.pause_all(tags: %w[lisbon]).done).to eq(1)
    expect(TaskerCore.cancel_all(tags: ["march"], state: "pending").done).to eq(1)
    expect(states(ids)).to eq(%w[cancelled paused pending])
    expect(TaskerCore.list(tags: ["lis"])).to eq([])
    expect { TaskerCore.list(tags: "march") }.to raise_error(TaskerCore::InvalidArgument, /tags/)
    expect { TaskerCore.list(tags: ["x" * 129]) }.to raise_error(TaskerCore::InvalidArgument, /tags.*128 bytes/)
    expect(tasker("list", "--tag", "march", "--tag", "lisbon", "--json").json.map { |one| one["task_id"] })
      .to eq([ids[1]])
  end

  describe "tasks that have ended" do
    before do
      handler("Book") { "booked" }
      handler("Undo") { "undone" }
      TaskerCore.define("trip", compensation: "manual") do
        step "book", handler: "Book", compensate_with: "Undo"
        step "pay", handler: "Charge", depends_on: "book"
      end
      TaskerCore.define("research", budget: { attempts: 1 }) do
        step "look", handler: "Book"
        step "write", handler: "Book", depends_on: "look"
      end
    end

    # Submits tasks and waits until they have ended.
    def ended(name, count)
      ids = TaskerCore.submit_all(name, contexts: Array.new(count) { {} })
      working { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
      ids
    end

    it "are undone that are in error or cancelled, once" do
      ids = ended("trip", 2)
      fail_payments({})
      TaskerCore.cancel(TaskerCore.submit("trip"))
      expect(TaskerCore.compensate_all(name: "trip", state: "error", dry_run: true).matched).to eq(2)
      report = TaskerCore.compensate_all(name: "trip", actor: "ada", reason: "no more flights")
      expect(report).to have_attributes(action: "compensate", matched: 3, done: 3, ok?: true)
      undoing = ids.map { |id| TaskerCore.status(id).compensated_by }
      expect(undoing).to all(be_an(Integer))
      expect(TaskerCore.compensate_all(name: "trip").matched).to eq(1)
      expect(ids.map { |id| TaskerCore.status(id).compensated_by }).to eq(undoing)
      expect(TaskerCore.compensate_all(name: "payment")).to have_attributes(done: 0, ok?: false)
      expect(TaskerCore.compensate_all(name: "trip", state: :error, dry_run: true).matched).to eq(0)
      expect(TaskerCore.compensate_all(name: "trip", state: nil, dry_run: true).matched).to eq(1)
      expect { TaskerCore.compensate_all(name: "trip", state: "complete") }
        .to raise_error(TaskerCore::InvalidArgument, /state is "complete", allowed: error, cancelled/)
    end

    it "have their budgets raised, as those that have not" do
      ids = ended("research", 2)
      later = TaskerCore.submit("research")
      expect(states(ids)).to eq(%w[error error])
      report = TaskerCore.raise_budget_all(name: "research", attempts: 9, reason: "they are worth it")
      expect(report).to have_attributes(action: "raise the budget of", matched: 3, done: 3, ok?: true)
      working { [*ids, later].each { |id| TaskerCore.wait(id, timeout: 30) } }
      expect(states([*ids, later])).to eq(%w[complete complete complete])
      one = ended("research", 1).first
      changes = -> { TaskerCore.explain(one)["history"].size }
      before = changes.call
      expect(TaskerCore.raise_budget_all(name: "research", attempts: 1).done).to eq(1)
      expect([states([one]), changes.call]).to eq([["error"], before])
      expect(TaskerCore.raise_budget_all(name: "research", attempts: 10, state: "waiting").matched).to eq(0)
      expect { TaskerCore.raise_budget_all(name: "research") }.to raise_error(TaskerCore::InvalidArgument, /budget/)
      fail_payments({})
      expect(TaskerCore.raise_budget_all(name: "payment", attempts: 9).refused.size).to eq(1)
    end

    it "are forked, each once for a key" do
      ids = ended("trip", 2)
      fork_all = lambda do |key|
        TaskerCore.fork_all(name: "trip", from: "pay", idempotency_key: key, context: { try: 2 }, reason: "again")
      end
      expect(fork_all.call("second")).to have_attributes(action: "fork", matched: 2, done: 2, ok?: true)
      expect(fork_all.call("second")).to have_attributes(matched: 2, done: 0, gone_on: 2, ok?: true)
      forks = ids.map { |id| TaskerCore.status(id).forks }
      expect(forks.map(&:size)).to eq([1, 1])
      expect(sql("SELECT context->>'try' FROM tasker_tasks WHERE task_id = ANY ($1)",
                 "{#{forks.join(",")}}").flat_map(&:values))
        .to eq(%w[2 2])
      expect(fork_all.call("third").matched).to eq(2)
      expect(ids.map { |id| TaskerCore.status(id).forks.size }).to eq([2, 2])
      expect(TaskerCore.fork_all(name: "trip", from: "fly", idempotency_key: "x").refused.size).to eq(2)
      { from: [], context: 7, idempotency_key: "k" * 237 }.each do |key, value|
        options = { name: "trip", from: "pay", idempotency_key: "k", key => value }
        expect { TaskerCore.fork_all(**options) }.to raise_error(TaskerCore::InvalidArgument, /#{key}/)
      end
    end

    it "are not meant where they are undone, and nothing goes on by it" do
      ended("trip", 2)
      TaskerCore.compensate(1)
      expect(TaskerCore.retry_all(dry_run: true).matched).to eq(1)
      expect(TaskerCore.raise_budget_all(name: "trip", attempts: 9)).to have_attributes(matched: 1, gone_on: 0)
      expect(TaskerCore.resolve_all(name: "trip", step: "pay")).to have_attributes(matched: 1, done: 1, gone_on: 0)
    end

    it "say in a dry run what would refuse, and stay as they are" do
      ended("research", 1)
      TaskerCore.submit("research", budget: { attempts: 20 })
      TaskerCore.submit("coupon")
      changes = -> { sql("SELECT count(*) FROM tasker_task_transitions").first["count"] }
      before = changes.call
      dry = tasker("budget", "--all", "--name", "research", "--attempts", "9", "--dry-run")
      expect(dry.out.lines.map(&:strip)).to match(
        ["would raise the budget of 1 task, 1 refused:", /TASK/, /1/, /TASK +STEP +REASON/, /2 .*is 9; allowed: 20/]
      )
      expect([dry.status, changes.call, states([1, 2])]).to eq([1, before, %w[error pending]])
      TaskerCore.fork(1, from: "write", idempotency_key: "k-1")
      fork = { name: "research", from: "write", idempotency_key: "k" }
      expect(TaskerCore.fork_all(**fork, dry_run: true))
        .to have_attributes(matched: 2, done: 0, gone_on: 1, doable: 1, examples: [{ "task_id" => 2, "step" => nil }])
      expect([1, 2].map { |id| TaskerCore.status(id).forks.size }).to eq([1, 0])
    end

    it "are meant on the command line too" do
      ended("trip", 2)
      ended("research", 1)
      outputs = [%w[fork --all --name trip --step pay --idempotency-key k], %w[compensate --all --name trip],
                 %w[budget --all --name research --attempts 7], %w[resolve --all --name payment --step charge],
                 %w[rerun --all --name research --step look]].map { |words| tasker(*words).out }
      expect(outputs).to eq(["forked 2 tasks\n", "undid 2 tasks\n", "raised the budget of 1 task\n",
                             "nothing matches\n", "reran 1 task\n"])
      wrong = [%w[fork --all --name trip --step pay], %w[compensate --all], %w[budget --all --attempts 2],
               %w[budget --all --name research], %w[resolve --all --name payment], %w[fork 1 pay --name trip]]
      errors = wrong.map { |words| tasker(*words) }
      expect(errors.map(&:status).uniq).to eq([2])
      expect(errors.map { |one| one.err.lines.first }).to match(
        [/needs --idempotency-key/, /needs --name/, /needs --name/, /--attempts N/, /needs --step/,
         /--name goes with --all/]
      )
    end
  end

  it "expires tasks that are too old" do
    old, young = TaskerCore.submit_all("payment", contexts: [{}, {}])
    sql("UPDATE tasker_tasks SET requested_at = now() - interval '8 days' WHERE task_id = $1", old)
    expect(TaskerCore.expire(older_than: 7 * 86_400, reason: "weekly")).to have_attributes(done: 1, action: "cancel")
    expect(states([old, young])).to eq(%w[cancelled pending])
    expect(TaskerCore.explain(old)["summary"]).to include("expired: requested more than 604800 s before: weekly")
    expect(TaskerCore.expire(older_than: 7 * 86_400).matched).to eq(0)
  end

  it "is refused before anything is done where an option is wrong" do
    fail_payments({})
    [0, 1_001].each do |canary|
      expect { TaskerCore.retry_all(canary: canary) }
        .to raise_error(TaskerCore::InvalidArgument, /canary is #{canary}, allowed: a whole number from 1 to 1000/)
    end
    expect(TaskerCore.retry_all(canary: 1_000, dry_run: true).matched).to eq(1)
    { { canary: 1, tolerate: -1 } => "tolerate is -1, allowed: 0, fewer than canary",
      { canary: 3, tolerate: 3 } => "tolerate is 3, allowed: a whole number from 0 to 2, fewer than canary",
      { canary: 3, watch: "soon" } => /\Awatch is "soon", allowed: a number of seconds/,
      { watch: "soon" } => 'watch is "soon", allowed: nil without canary',
      { tolerate: 0 } => "tolerate is 0, allowed: nil without canary" }.each do |options, message|
      expect { TaskerCore.retry_all(**options) }.to raise_error(TaskerCore::InvalidArgument, message)
    end
    expect { TaskerCore.retry_all(rate: 0) }.to raise_error(TaskerCore::InvalidArgument, /rate/)
    { { stat: "error" } => 'unknown option stat; did you mean "state"?',
      { canry: 1 } => 'unknown option canry; did you mean "canary"?',
      { state: "eror" } => 'state is "eror", allowed: error, blocked; did you mean "error"?',
      { dry_run: "x" } => 'dry_run is "x", allowed: true or false' }.each do |options, message|
      expect { TaskerCore.retry_all(**options) }.to raise_error(TaskerCore::InvalidArgument, message)
    end
    { { actr: "ada" } => 'unknown option actr; did you mean "actor"?',
      { state: "pausd" } => /\Astate is "pausd", allowed: pending, .*, blocked, paused.*; did you mean "paused"\?\z/ }
      .each do |options, message|
        expect { TaskerCore.cancel_all(**options) }.to raise_error(TaskerCore::InvalidArgument, message)
        expect { TaskerCore.raise_budget_all(name: "order", attempts: 3, **options) }
          .to raise_error(TaskerCore::InvalidArgument)
      end
    expect { TaskerCore.compensate_all(name: "order", state: "eror") }
      .to raise_error(TaskerCore::InvalidArgument, 'state is "eror", allowed: error, cancelled; did you mean "error"?')
    expect { TaskerCore.expire }
      .to raise_error(TaskerCore::InvalidArgument, /\Aolder_than is nil, allowed: a number of seconds from 0/)
    expect { TaskerCore.list(state: "doen") }
      .to raise_error(TaskerCore::InvalidArgument, /\Astate is "doen", allowed: p/)
    expect { TaskerCore.list(nme: "order") }
      .to raise_error(TaskerCore::InvalidArgument, 'unknown option nme; did you mean "name"?')
    expect { TaskerCore.raise_budget(1, atempts: 3) }
      .to raise_error(TaskerCore::InvalidArgument, 'unknown option atempts; did you mean "attempts"?')
    expect { TaskerCore.cancel_all(older_than: -1) }.to raise_error(TaskerCore::InvalidArgument, /older_than/)
    %i[limit unfinished requested_before before].each do |key|
      expect { TaskerCore.cancel_all(key => 1) }.to raise_error(TaskerCore::InvalidArgument, /\Aunknown option #{key}/)
    end
    expect(TaskerCore.status(1).attempts_total).to eq(1)
  end

  it "is an option of the commands" do
    fail_payments({}, {})
    dry = tasker("retry", "--all", "--step", "charge", "--dry-run")
    expect([dry.status, dry.out.lines.first]).to eq([0, "would retry 2 steps:\n"])
    stopped = tasker("retry", "--all", "--canary", "1", "--watch", "1s", "--rate", "50/s")
    expect(stopped.status).to eq(1)
    expect(stopped.out).to include("stopped: none of 1 has ended after 1 s")
    rest = tasker("retry", "--all", "--error", "TaskerCore::PermanentError", "--json")
    expect(rest.json).to include("done" => 1, "matched" => 1)
    expect(tasker("retry", "--all").out).to eq("nothing matches\n")
    expect(tasker("pause", "--all", "--name", "payment").out).to eq("paused 2 tasks\n")
    expect(tasker("resume", "--all").out).to eq("resumed 2 tasks\n")
    expect(tasker("expire", "--older-than", "0s", "--json").json["done"]).to eq(2)
    expect(tasker("cancel", "--all").out).to eq("nothing matches\n")
  end

  it "is refused on the command line where options do not go together" do
    wrong = [%w[retry], %w[retry 1 --canary 2], %w[retry --all 1], %w[retry --all --watch 5s], %w[retry --all --rate 5],
             %w[cancel --all --older-than x], %w[expire], %w[skip --all --state complete],
             %w[cancel --all --state complete], %w[retry --all --canary 2 --tolerate 2]]
    errors = wrong.map { |words| tasker(*words) }
    expect(errors.map(&:status).uniq).to eq([2])
    expect(errors.map { |one| one.err.lines.first }).to match(
      [/missing ID/, /--canary goes with --all/, /unexpected argument "1" beside --all/, /--watch goes with --canary/,
       %r{--rate is "5".*20/s}, /--older-than is "x"/, /missing --older-than/, /--state complete/,
       /state is "complete", allowed: pending, in_progress, waiting, blocked, paused$/,
       /tolerate is 2, allowed: a whole number from 0 to 1/]
    )
  end

  it "tells on the command line what refused" do
    fail_payments({})
    refused = tasker("skip", "--all")
    expect(refused.status).to eq(1)
    expect(refused.out.lines.map(&:strip)).to match(["skipped 0 steps, 1 refused", /TASK +STEP +REASON/,
                                                     /1 +charge +step is/])
  end
end
