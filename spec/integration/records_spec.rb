# frozen_string_literal: true

RSpec.describe "The models of Active Record", :database do
  include Workflows
  include CommandLine
  include ForkedRecords

  before do
    skip_without_active_record
    handler("Fine") { |task| { "got" => task.context["order_id"] } }
    handler("Refuse") { raise TaskerCore::PermanentError.new("no funds", error_code: "NO_FUNDS") }
    handler("Blocks") { raise TaskerCore::BlockedError, "ask the bank" }
    TaskerCore.define("order", namespace: "shop", version: "1.0.0") do
      step "validate", handler: "Fine"
      step "charge", handler: "Refuse", depends_on: "validate"
      step "reserve", handler: "Fine", depends_on: "validate"
      step "ship", handler: "Fine", depends_on: %w[charge reserve]
    end
    TaskerCore.define("plain") { step "only", handler: "Fine" }
    TaskerCore.define("asks") { step "only", handler: "Blocks" }
  end

  def settle(*ids)
    working { ids.each { |id| TaskerCore.wait(id, timeout: Workflows::PATIENCE_SECONDS) } }
  end

  # Ids of the tasks that each question brings.
  def found(questions)
    reading { questions.map { |question| question.call(TaskerCore::Records::Task).order(:task_id).ids } }
  end

  it "are not loaded with the library" do
    program = "require \"tasker_core\"; require \"tasker_core/cli\"; puts defined?(ActiveRecord).inspect"
    outcome = run_program(RbConfig.ruby, "-I", File.join(CommandLine::ROOT, "lib"), "-e", program)

    expect(outcome.out).to eq("nil\n")
  end

  it "say what is missing where there is no Active Record" do
    program = "def require(name) = name == \"active_record\" ? raise(LoadError.new(name).tap { |e| " \
              "e.define_singleton_method(:path) { name } }) : super; load \"tasker_core/records.rb\""
    outcome = run_program(RbConfig.ruby, "-I", File.join(CommandLine::ROOT, "lib"), "-e", program)

    expect(outcome.err).to include("Active Record, which is not installed: add gem \"activerecord\", \">= 6.1\"")
  end

  it "say of tasks and steps what the client says" do
    id = TaskerCore.submit("order", context: { order_id: 7 }, namespace: "shop", tags: %w[eu], initiator: "checkout",
                                    correlation_key: "customer-7", deadline: 3_600, budget: { attempts: 9, cost: 2 })
    settle(id)
    times = %w[requested_at started_at finished_at deadline_at]
    task, steps = reading do
      task = TaskerCore::Records::Task.find(id)
      times = task.attributes.slice(*times).transform_values { |time| time.utc.iso8601(6) }
      steps = task.steps.map { |step| step.attributes.merge("depends_on" => step.parents.map(&:step_name)) }
      [task.attributes.merge(times), steps]
    end
    status = TaskerCore.status(id)

    expect(task).to include(
      "namespace" => "shop", "template" => "order", "version" => "1.0.0", "state" => "error", "steps_total" => 4,
      "tags" => %w[eu], "initiator" => "checkout", "correlation_key" => "customer-7", "context" => { "order_id" => 7 },
      "encrypted" => false
    )
    expect(task["budget"]).to eq(status.budget)
    expect(task.slice(*times).transform_keys(&:to_sym)).to eq(status.to_h.slice(*times.map(&:to_sym)))
    told = TaskerCore.result(id).steps.map do |step|
      [step.name, step.state, step.attempts, step.results, step.depends_on]
    end
    expect(steps.map { |step| step.values_at("step_name", "state", "attempts_total", "results", "depends_on") })
      .to match_array(told)
    expect(steps.filter_map { |step| step["error"]&.slice("class", "code", "message") })
      .to eq([TaskerCore.result(id).step("charge").error.slice("class", "code", "message")])
  end

  it "find tasks by what is asked for, and by all of it together" do
    failed = TaskerCore.submit("order", context: { order_id: 1, customer: { country: "NO", vip: true } },
                                        namespace: "shop", tags: %w[eu nightly], correlation_key: "customer-7")
    blocked = TaskerCore.submit("asks", context: { order_id: 2 })
    done = TaskerCore.submit("plain", context: { order_id: "1" }, tags: %w[eu])
    settle(failed, blocked, done)
    open = TaskerCore.submit("plain", context: { order_id: 1 })
    sql("UPDATE tasker_tasks SET requested_at = requested_at - interval '2 hours' WHERE task_id <= $1", blocked)
    hour_ago = Time.now - 3_600

    wanted = {
      [failed] => [
        ->(tasks) { tasks.in_state("error") }, ->(tasks) { tasks.in_namespace("shop") },
        ->(tasks) { tasks.of_template("order", version: "1.0.0") }, ->(tasks) { tasks.tagged("nightly", "eu") },
        ->(tasks) { tasks.with_correlation_key("customer-7") }, ->(tasks) { tasks.with_failed_step("charge") },
        ->(tasks) { tasks.with_context(customer: { country: "NO" }) },
        lambda do |tasks|
          tasks.in_state(:error, :blocked).tagged("eu").with_context(order_id: 1).submitted_before(hour_ago)
               .finished_after(hour_ago).with_failed_step(:charge).of_template("order")
        end
      ],
      [failed, blocked] => [
        ->(tasks) { tasks.in_state("error", "blocked") }, ->(tasks) { tasks.in_state(%i[error blocked]) },
        ->(tasks) { tasks.submitted_before(hour_ago) },
        ->(tasks) { tasks.with_failed_step("charge").or(tasks.with_failed_step("only")) }
      ],
      [failed, done] => [->(tasks) { tasks.tagged("eu") }, ->(tasks) { tasks.finished_after(hour_ago) }],
      [blocked, open] => [->(tasks) { tasks.unfinished }],
      [failed, open] => [->(tasks) { tasks.with_context("order_id" => 1) }],
      [done, open] => [->(tasks) { tasks.submitted_after(hour_ago) }],
      [open] => [->(tasks) { tasks.in_state("pending") }, ->(tasks) { tasks.unfinished.of_template("plain") }],
      [] => [
        ->(tasks) { tasks.of_template("order", version: "2") }, ->(tasks) { tasks.waiting },
        ->(tasks) { tasks.finished_before(hour_ago) }, ->(tasks) { tasks.with_failed_step("ship") },
        ->(tasks) { tasks.in_state("error").with_failed_step("only") }
      ]
    }
    expect(found(wanted.values.flatten)).to eq(wanted.flat_map { |ids, questions| [ids] * questions.size })
  end

  it "find steps, attempts and transitions" do
    failed = TaskerCore.submit("order", context: {}, namespace: "shop")
    blocked = TaskerCore.submit("asks", context: {})
    settle(failed, blocked)
    hour_ago = Time.now - 3_600

    answer = reading do
      records = TaskerCore::Records
      { blocked: records::Step.in_state("blocked").pluck(:task_id, :step_name),
        pending: records::Step.in_state("pending", "complete").of_template("order").order(:step_id).pluck(:step_name),
        failed: records::Attempt.failed.finished_after(hour_ago).order(:task_id).pluck(:step_name, :outcome),
        classes: records::Attempt.with_error(TaskerCore::PermanentError).pluck(:error_code, :error_message),
        early: records::Attempt.finished_before(hour_ago).count,
        changes: records::Transition.of_tasks.where(task_id: failed).order(:transition_id).pluck(:event),
        charge: records::Transition.of_steps.named("charge").created_after(hour_ago).pluck(:to_state),
        before: records::Transition.created_before(hour_ago).count,
        in_order: records::Task.find(failed).transitions.map { |change| change.step&.step_name || change.event }.uniq }
    end

    expect(answer.transform_keys(&:to_sym)).to include(
      blocked: [[blocked, "only"]], pending: %w[validate reserve ship],
      failed: [%w[charge permanent], %w[only blocked]], classes: [["NO_FUNDS", "no funds"]], early: 0, before: 0,
      changes: %w[started failed], charge: include("in_progress", "error")
    )
    expect(answer["in_order"].first(2)).to contain_exactly("validate", "started")
  end

  it "load what belongs together with a query for each kind, however many there are" do
    ids = TaskerCore.submit_all("order", contexts: Array.new(5) { {} }, namespace: "shop")
    settle(*ids)
    walk = lambda do |tasks|
      tasks.each do |task|
        task.transitions.each(&:event)
        task.attempts.each(&:outcome)
        task.steps.each { |step| [step.task, *step.attempts, *step.parents.flat_map(&:children)].each(&:namespace) }
      end
    end

    one, all, names = reading do
      preloaded = TaskerCore::Records::Task.preload(
        :transitions, :attempts, :parent_step, :forks, steps: [:attempts, { parents: :children }]
      )
      names = TaskerCore::Records::Task.find(ids.first).steps.to_h do |step|
        [step.step_name, [step.parents.map(&:step_name), step.children.map(&:step_name)]]
      end
      [queries { walk.call(preloaded.where(task_id: ids.first)) }, queries { walk.call(preloaded.all) }, names]
    end

    expect(all).to eq(one)
    expect(all).to be <= 12
    expect(names).to eq("validate" => [[], %w[charge reserve]], "charge" => [%w[validate], %w[ship]],
                        "reserve" => [%w[validate], %w[ship]], "ship" => [%w[charge reserve], []])
  end

  it "lead from tasks to those that they have to do with" do
    TaskerCore.define("outer") { step "run", workflow: "plain" }
    id = TaskerCore.submit("outer")
    working { TaskerCore.wait(id, timeout: Workflows::PATIENCE_SECONDS) }
    failed = TaskerCore.submit("order", context: {}, namespace: "shop")
    settle(failed)
    fork_id = TaskerCore.fork(failed, from: "charge", actor: "mara")

    answer = reading do
      outer = TaskerCore::Records::Task.find(id)
      fork = TaskerCore::Records::Task.find(fork_id)
      child = outer.steps.first.child_tasks.first
      [child.task_id, child.parent_step.task.task_id, fork.forked_from.task_id, fork.forked_from.forks.ids,
       child.terminal?, fork.terminal?]
    end
    child = TaskerCore.status(id).children.first.fetch("task_id")
    expect(answer).to eq([child, id, failed, [fork_id], true, false])
  end

  it "refuse to write, and leave everything as it is" do
    id = TaskerCore.submit("order", context: {}, namespace: "shop")
    before = sql("SELECT t::text FROM tasker_tasks t")

    outcomes = reading do
      tasks = TaskerCore::Records::Task
      task = tasks.find(id)
      of_records = [
        -> { task.save }, -> { task.save! }, -> { task.update(state: "error") }, -> { task.update!(reason: "x") },
        -> { task.update_attribute(:reason, "x") }, -> { task.update_column(:reason, "x") }, -> { task.delete },
        -> { task.update_columns(reason: "x") }, -> { task.destroy }, -> { task.destroy! }, -> { task.touch },
        -> { task.increment!(:steps_total) }, -> { task.toggle!(:encrypted) }, -> { tasks.create(reason: "x") },
        -> { tasks.new.save! }, -> { tasks.insert({ reason: "x" }) }, -> { tasks.insert_all([{ reason: "x" }]) },
        -> { tasks.upsert_all([{ reason: "x" }]) }, -> { task.steps.create(state: "error") },
        -> { task.attempts.create! }, -> { tasks.destroy_all }
      ]
      of_relations = [
        -> { tasks.update_all(reason: "x") }, -> { tasks.where(task_id: id).delete_all }, -> { task.steps.delete_all },
        -> { tasks.delete_by(task_id: id) }, -> { TaskerCore::Records::Transition.update_all(event: "x") },
        -> { tasks.update_counters(id, steps_total: 1) }, -> { TaskerCore::Records::Edge.delete_all },
        -> { TaskerCore::Records::Attempt.delete_all }, -> { TaskerCore::Records::Step.update_all(state: "error") }
      ]
      refusal = lambda do |write|
        write.call && "written"
      rescue ActiveRecord::ReadOnlyRecord, ActiveRecord::StatementInvalid => e
        e.message.lines.first.chomp
      end
      [of_records.map(&refusal), of_relations.map(&refusal)]
    end

    expect(outcomes.first).to all(match(/TaskerCore::Records::\w+ is for reading only; TaskerCore.submit makes tasks/))
    expect(outcomes.last).to all(match(/cannot (?:update|delete from) view "tasker_\w+_overview"/))
    expect(sql("SELECT t::text FROM tasker_tasks t")).to eq(before)
  end

  it "refuse questions that make no sense, by what is wrong" do
    messages = reading do
      tasks = TaskerCore::Records::Task
      [-> { tasks.in_state("eror") }, -> { tasks.in_state }, -> { tasks.tagged }, -> { tasks.with_context([]) },
       -> { tasks.with_context(at: Time.now) }, -> { tasks.submitted_after("yesterday") }, -> { tasks.of_template("") },
       -> { TaskerCore::Records::Step.in_state("paused") }, -> { tasks.with_failed_step(nil) }].map do |question|
        question.call && "asked"
      rescue TaskerCore::Error => e
        e.message
      end
    end

    expect(messages).to match(
      [/\Astate is "eror", allowed: pending, in_progress/, /\Astates is \[\], allowed: one or more of pending/,
       /\Atags is/, /\Acontext is \[\]/, /\Acontext.at is of class Time/,
       /\Arequested_at is "yesterday", allowed: a Time/, /\Aname is ""/,
       /\Astate is "paused", allowed: pending, enqueued/, /\Aname is nil/]
    )
  end

  it "know the states that the database knows" do
    words = %w[task_state step_state attempt_outcome].to_h do |type|
      [type, sql("SELECT unnest(enum_range(NULL::tasker_#{type})) AS word").map { |row| row["word"] }]
    end
    tasks, steps, failures = reading do
      [TaskerCore::Records::Task::STATES, TaskerCore::Records::Step::STATES, TaskerCore::Records::Attempt::FAILURES]
    end

    expect([tasks.sort, steps.sort]).to eq([words["task_state"].sort, words["step_state"].sort])
    expect(words["attempt_outcome"] - failures).to contain_exactly("succeeded", "interrupted", "cancelled", "waiting")
  end

  it "read from a database of their own" do
    id = TaskerCore.submit("plain")
    with_database do |url|
      answer = reading do
        databases = { "primary" => { "url" => url }, "tasker" => { "url" => database_url } }
        ActiveRecord::Base.configurations = { ActiveRecord::ConnectionHandling::DEFAULT_ENV.call => databases }
        # As the Rails of this version does; later ones need not.
        if ActiveRecord.version < Gem::Version.new("7.0")
          ActiveRecord::Base.connection_handlers = { writing: ActiveRecord::Base.default_connection_handler }
        end
        ActiveRecord::Base.establish_connection(:primary)
        TaskerCore::Records::Base.connects_to database: { writing: :tasker, reading: :tasker }
        own = ActiveRecord::Base.connection.select_value("SELECT count(*) FROM tasker_tasks")
        [own, TaskerCore::Records::Task.ids, TaskerCore::Records::Task.first.steps.size]
      end
      expect(answer).to eq([0, [id], 1])
    end
  end

  it "decrypt what is encrypted, and name the key where it is missing" do
    keys = { "k1" => ["k" * 32].pack("m0") }
    TaskerCore.configure { |c| c.encryption_keys = keys }
    id = TaskerCore.submit("order", context: { order_id: "4242" }, namespace: "shop")
    settle(id)
    TaskerCore.configure { |c| c.encryption_keys = {} }

    values, sealed, missing = reading do
      records = TaskerCore::Records
      read = lambda do
        task = records::Task.find(id)
        failure = task.attempts.failed.first
        [task.context, task.steps.first.results, task.steps[1].error["message"], failure.error_class,
         failure.error_code, failure.error_message]
      end
      refused = begin
        read.call
      rescue TaskerCore::DecryptionError => e
        e.message
      end
      TaskerCore.configure { |c| c.encryption_keys = keys }
      task = records::Task.find(id)
      said = [task.encrypted?, task.steps.first.encrypted?, task.steps.last.encrypted?, task.attempts.map(&:encrypted?)]
      [read.call, said + [records::Task.with_context(order_id: "4242").count], refused]
    end

    expect(values).to eq([{ "order_id" => "4242" }, { "got" => "4242" }, "no funds", "TaskerCore::PermanentError",
                          "NO_FUNDS", "no funds"])
    expect(sealed).to match([true, true, false, contain_exactly(true, false, false), 0])
    expect(missing).to include("context of TaskerCore::Records::Task #{id}", "the key \"k1\"", "(there are none)")
  ensure
    TaskerCore.configure { |c| c.encryption_keys = {} }
  end
end
