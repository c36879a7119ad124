# frozen_string_literal: true

RSpec.describe "Events", :database do
  include Workflows

  let(:events) { Thread::Queue.new }
  let(:log) { StringIO.new }

  # What examples subscribe with; all of it ends with the example.
  def subscribe(*patterns, &block)
    patterns = ["step.*", "task.*"] if patterns.empty?
    @subscriptions ||= []
    @subscriptions << TaskerCore.subscribe(*patterns, &block || ->(event) { events << event })
    @subscriptions.last
  end

  after { @subscriptions&.each { |subscription| TaskerCore.unsubscribe(subscription) } }

  def told(count = events.size)
    Timeout.timeout(30) { Array.new(count) { events.pop } }
  end

  def names
    told.map { |event| [event.name, event.step_name].compact.join(" ") }
  end

  def submit_and_wait(name = "one", **options)
    TaskerCore.submit(name, **options).tap { |id| TaskerCore.wait(id, timeout: 30) }
  end

  it "tells all that becomes of a task, in the order of the commits, before the worker has ended" do
    handler("Any") { nil }
    TaskerCore.define("line", namespace: "n") do
      step "first", handler: "Any"
      step "last", handler: "Any", depends_on: "first"
    end
    subscribe
    run("line", namespace: "n")

    expect(names).to eq(["task.started", "step.claimed first", "step.succeeded first", "step.claimed last",
                         "step.succeeded last", "task.completed"])
  end

  it "records what is wanted from a worker's first transaction on" do
    subscribe("step.*")
    wanted = TaskerCore.subscriptions.wanted
    allow(TaskerCore::Internal::Bridge::Worker).to receive(:start).and_call_original
    working { nil }

    expect(wanted).to be_positive
    expect(TaskerCore::Internal::Bridge::Worker).to have_received(:start).with(/"record_events":#{wanted}[,}]/)
  end

  it "tells what the history tells" do
    define_one { nil }
    subscribe
    result = run("one")
    started, claimed, succeeded, completed = told
    step_id = result.task_id << 20

    expect(claimed.to_h).to eq(name: "step.claimed", at: claimed.at, task_id: result.task_id, step_id: step_id,
                               from: "enqueued", to: "in_progress", attempt: 1, worker_id: succeeded.worker_id)
    expect(completed.to_h).to eq(name: "task.completed", at: completed.at, task_id: result.task_id, step_id: nil,
                                 from: "in_progress", to: "complete", attempt: nil, worker_id: nil)
    expect([started.at, claimed.at, succeeded.at, completed.at].each_cons(2)).to all(satisfy { |a, b| a <= b })
    row = sql("SELECT worker_id, extract(epoch FROM created_at) AS at FROM tasker_workflow_step_transitions " \
              "WHERE event = 'succeeded'").first
    expect(row["worker_id"].to_i).to eq(succeeded.worker_id)
    expect(row["at"].to_f - succeeded.at.to_f).to be_between(0, 5)
    expect([claimed, claimed.template.to_s, completed.step_name]).to match([be_frozen, "default/one 0.1.0", nil])
  end

  it "tells of retries and failures" do
    define_one(retry_limit: 2) { raise "no" }
    subscribe
    run("one")

    expect(names).to eq(["task.started", "step.claimed only", "step.retry_scheduled only", "task.went_waiting",
                         "task.resumed", "step.claimed only", "step.retries_exhausted only", "task.failed"])
  end

  it "tells of blocked tasks and of what this process cancels" do
    define_one { raise TaskerCore::BlockedError, "ask Mara" }
    working do
      subscribe
      id = submit_and_wait
      TaskerCore.cancel(id)
      wait_until("all is told") { events.size == 6 }

      expect(names).to eq(["task.started", "step.claimed only", "step.needs_intervention only", "task.got_blocked",
                           "step.cancelled only", "task.cancelled"])
    end
  end

  it "tells of a dead worker, and of its steps that this one took back" do
    define_one { |_task, _sequence, step| step.attempt == 1 ? sleep : nil }
    id = TaskerCore.submit("one")
    TaskerCore.client.close
    pid = fork { TaskerCore::Worker.new(**Workflows::QUICK).run }
    wait_until("the step is claimed", within: 30) { TaskerCore.status(id).state == "in_progress" }
    Process.kill("KILL", pid)
    Process.wait(pid)
    subscribe("step.*")
    lost = Thread::Queue.new
    subscribe("worker.lost") { |event| lost << event }
    dead = working(dead_after: 0.5) do
      TaskerCore.wait(id, timeout: 30)
      Timeout.timeout(30) { lost.pop }
    end
    died = told

    expect(died.map { |event| [event.name, event.step_name].join(" ") })
      .to eq(["step.worker_died only", "step.claimed only", "step.succeeded only"])
    expect(died.first.worker_id).to eq(dead.worker_id)
  end

  it "tells what becomes of its workers, between which lies what they do" do
    define_one { nil }
    subscribe("*")
    worker = TaskerCore::Worker.new(**Workflows::QUICK).start
    submit_and_wait
    worker.stop!
    worker.wait(timeout: 30)
    about, others = told.partition(&:worker?)

    expect(about.map(&:name)).to eq(%w[worker.started worker.stopping worker.stopped])
    expect(about.map(&:worker_id).uniq).to eq([others.filter_map(&:worker_id).first])
    expect(about.first.to_h).to match(name: "worker.started", at: be_within(60).of(Time.now), task_id: nil,
                                      step_id: nil, from: nil, to: nil, attempt: nil, worker_id: Integer)
    expect([about.first.template, about.first.step_name, about.first.inspect])
      .to eq([nil, nil, "#<TaskerCore::Event worker.started worker #{about.first.worker_id}>"])
  end

  it "names steps that were added to their task, and items of map steps, here and in the feed and with artifacts" do
    handler("Plan") { |_, _, step| step.add("page_1", like: "page") && [1, 2] }
    handler("Page") { |_, _, step| step.attach("text", json: { "of" => step.name }) }
    TaskerCore.define("scan") do
      step "plan", handler: "Plan"
      step "page", handler: "Page", dynamic: true
      step "part", handler: "Page", depends_on: "plan", map: { over: "results.plan" }
    end
    subscribe("step.succeeded") { |event| events << event.step_name }
    id = run("scan").task_id
    names = %w[page_1 part[0] part[1] plan]
    fed = []
    TaskerCore.feed(from: :beginning, events: ["step.succeeded"], follow: false) { |batch| fed.concat(batch) }

    expect(Array.new(events.size) { events.pop }).to match_array(names)
    expect(fed.map(&:step_name)).to match_array(names)
    expect { TaskerCore.feed(events: ["worker.*"], follow: false) { nil } }
      .to raise_error(TaskerCore::InvalidArgument, /workers are in no history/)
    expect(TaskerCore.artifacts(id).map { |one| [one.step_name, one.json] })
      .to match_array(names.first(3).map { |name| [name, { "of" => name }] })
  end

  it "tells each subscriber what it asked for, however many patterns match" do
    define_one { nil }
    ends, steps = Array.new(2) { Thread::Queue.new }
    subscribe("task.completed", "task.failed") { |event| ends << event.name }
    subscribe("step.*", "step.claimed", "task.*") { |event| steps << event.name }
    run("one")

    expect([ends, steps].map { |queue| Array.new(queue.size) { queue.pop } })
      .to eq([["task.completed"], %w[task.started step.claimed step.succeeded task.completed]])
  end

  it "refuses a pattern that matches nothing, and names those that do" do
    expect { TaskerCore.subscribe("step.suceeded") { nil } }
      .to raise_error(TaskerCore::InvalidArgument, /"step.suceeded"; did you mean "step.succeeded"\?; allowed: \*, /)
    expect { TaskerCore.subscribe("*.failed") { nil } }.to raise_error(TaskerCore::InvalidArgument, /task\.failed/)
    expect { TaskerCore.subscribe("*") }.to raise_error(TaskerCore::InvalidArgument, /needs a block/)
    expect(TaskerCore.subscriptions.wanted).to eq(0)
  end

  it "logs what a subscriber raises, and tells the others and the next event" do
    TaskerCore.configure { |c| c.logger = Logger.new(log) }
    define_one { nil }
    subscribe("task.*") { |event| raise NotImplementedError, "cannot #{event.name}" }
    subscribe("task.*")
    run("one")

    expect(told.map(&:name)).to eq(%w[task.started task.completed])
    expect(log.string.lines.grep(/ERROR/)).to match(
      [/a subscriber of task.\* failed: NotImplementedError: cannot task.started/, /cannot task.completed/]
    )
  end

  it "goes on with the next event when a subscriber ends the thread" do
    define_one { nil }
    subscribe("*") { |event| event.name == "step.claimed" ? Thread.exit : events << event }
    run("one")

    expect(told.map(&:name)).to eq(%w[worker.started task.started step.succeeded task.completed worker.stopping
                                      worker.stopped])
  end

  it "begins with a subscription and ends with the last one, also while a worker runs" do
    define_one { nil }
    working do
      submit_and_wait
      expect(event_threads).to be_empty
      subscription = subscribe("task.*")
      first = submit_and_wait
      expect(told(2).map(&:task_id)).to eq([first, first])

      expect([TaskerCore.unsubscribe(subscription), TaskerCore.unsubscribe(subscription)]).to eq([true, false])
      wait_until("the thread has ended") { event_threads.empty? }
      submit_and_wait
      subscribe("task.*")
      last = submit_and_wait
      expect(told(2).map(&:task_id)).to eq([last, last])
    end
    expect(events).to be_empty
  end

  def event_threads
    Thread.list.select { |thread| thread.name == "tasker-events" }
  end

  it "lets a subscriber unsubscribe itself" do
    define_one { nil }
    first = subscribe { |event| events << event if TaskerCore.unsubscribe(first) }
    run("one")

    expect(told.map(&:name)).to eq(["task.started"])
  end

  it "does not make handlers wait for a slow subscriber, and tells the rest when the worker stops" do
    gate = Thread::Queue.new
    define_one { nil }
    subscribe { |event| (events << event) && gate.pop }
    worker = TaskerCore::Worker.new(**Workflows::QUICK).start
    ids = TaskerCore.submit_all("one", contexts: Array.new(20) { {} })
    expect(ids.map { |id| TaskerCore.wait(id, timeout: 30).state }.uniq).to eq(["complete"])
    expect(events.size).to eq(1)
    worker.stop
    gate.close
    worker.wait(timeout: 30)

    expect(told.map(&:name).tally.values).to eq([20] * 4)
    expect(worker.stats).to include("events_dropped" => 0)
  end

  it "drops what is left when the time of the stop is over, counts it and warns of it" do
    TaskerCore.configure { |c| c.logger = Logger.new(log) }
    define_one { nil }
    subscribe { |event| (events << event) && sleep }
    worker = TaskerCore::Worker.new(**Workflows::QUICK).start
    submit_and_wait
    worker.stop!
    worker.wait(timeout: 30)

    expect([events.size, worker.stats["events_dropped"]]).to eq([1, 3])
    expect(log.string.lines.grep(/WARN/)).to match([/slower than the worker: 3 events were dropped/])
  end

  it "tells the subscribers of a forked process of that process's workers" do
    define_one { nil }
    reader, writer = IO.pipe
    subscribe("task.*") { |event| writer.puts("#{Process.pid} #{event.name}") }
    TaskerCore.client.close
    working do |worker|
      pid = fork do
        worker.stop!
        own = TaskerCore::Worker.new(**Workflows::QUICK).start
        submit_and_wait("one")
        own.stop
        own.wait(timeout: 30)
        exit!(0)
      end
      Process.wait(pid)
    end
    writer.close

    expect(reader.readlines(chomp: true).map { |line| line.split.last }).to eq(%w[task.started task.completed])
  end

  it "has a page with every name there is and no other" do
    page = File.read(File.expand_path("../../docs/events.md", __dir__))
    listed = page.scan(/^\| ((?:step|task|worker)\.\w+) \|/).flatten

    expect(listed).to match_array(TaskerCore::Event::NAMES)
    expect(TaskerCore::Event::NAMES.grep_v(/\Aworker\./)).to match_array(recorded_events)
  end

  def recorded_events
    { "step" => "tasker_step_event", "task" => "tasker_task_event" }.flat_map do |kind, type|
      sql("SELECT unnest(enum_range(NULL::#{type})) AS event").map { |row| "#{kind}.#{row["event"]}" }
    end
  end
end
