# frozen_string_literal: true

require "open3"

RSpec.describe TaskerCore::Feed, :database do
  include CommandLine
  include Workflows

  def work_off(number = 1, &process)
    define_one(&process || proc {})
    tasks = Array.new(number) { TaskerCore.submit("one") }
    working { tasks.each { |task| TaskerCore.wait(task, timeout: Workflows::PATIENCE_SECONDS) } }
    tasks
  end

  def recorded
    sql(<<~SQL).map { |row| row["number"].to_i }
      SELECT workflow_step_transition_id AS number FROM tasker_workflow_step_transitions
      UNION ALL SELECT task_transition_id FROM tasker_task_transitions ORDER BY number
    SQL
  end

  # So many events, with all that a transaction of another example holds back.
  def take(feed, count, **options)
    taken = []
    feed.each_batch(**options) do |events|
      taken.concat(events)
      feed.stop if taken.size >= count
    end
    taken
  end

  it "gives out all that becomes of a task, in order, with the names of its template" do
    task = work_off.first
    events = take(described_class.new(from: :beginning), 4)

    expect(events.map(&:name)).to eq(%w[task.started step.claimed step.succeeded task.completed])
    expect(events.map(&:number)).to eq(recorded)
    expect(events[2]).to have_attributes(task_id: task, step_id: task << 20, step_name: "only", from: "in_progress",
                                         to: "complete", attempt: 1, outcome: "succeeded", error: nil)
    expect(events[2].template).to have_attributes(to_s: "default/one 0.1.0", frozen?: true)
    expect(events.map(&:at)).to eq(events.map(&:at).sort)
    expect(events.last).to have_attributes(step?: false, step_id: nil, step_name: nil, attempt: nil, worker_id: nil)
  end

  it "tells how an attempt failed, and who had it tried again" do
    task = work_off { raise TaskerCore::PermanentError, "no funds" }.first
    TaskerCore.retry(task, actor: "mara", reason: "paid in")
    events = take(described_class.new(from: :beginning, events: %w[step.failed_permanently step.retried]), 2)

    expect(events.first.error).to include("class" => "TaskerCore::PermanentError", "message" => "no funds")
    expect(events.first.execution_ms).to be_a(Float)
    expect(events.last.detail).to include("actor" => "mara", "reason" => "paid in")
  end

  it "goes on for a consumer after the batches whose block returned" do
    work_off(2)
    batches = []
    failing = described_class.new("specs", from: :beginning)
    expect do
      failing.each_batch(size: 3) do |events|
        batches << events.map(&:number)
        raise "not taken" if batches.size == 2
      end
    end.to raise_error("not taken")
    batches.pop
    rest = take(described_class.new("specs"), 5).map(&:number)

    expect(batches.flatten + rest).to eq(recorded)
  end

  it "gives the block the cursor to begin from, where the program keeps it" do
    work_off
    cursors = []
    described_class.new(from: :beginning).each_batch(size: 2) do |events, cursor|
      cursors << cursor
      break if cursors.size == 2

      expect(events.last.number).to eq(cursor)
    end
    expect(cursors).to eq(recorded.each_slice(2).map(&:last))
    expect(take(described_class.new(from: cursors.first), 2).map(&:number)).to eq(recorded.last(2))
  end

  it "begins with what happens from then on unless it is told otherwise" do
    work_off
    feed = described_class.new("specs")
    feed.each_batch(follow: false) { nil }
    work_off
    expect(take(feed, 4).map(&:number)).to eq(recorded.last(4))
  end

  it "ends for a reader whose consumer another one reads for" do
    work_off
    first = described_class.new("specs", from: :beginning)
    reading = -> { first.each_batch(size: 1) { take(described_class.new("specs"), 4, size: 4) } }

    expect(&reading).to raise_error(TaskerCore::FeedTaken, /another reader of the consumer "specs" has begun/)
  end

  it "counts what was pruned before it was taken" do
    feed = described_class.new("specs", from: :beginning)
    feed.each_batch(follow: false) { nil }
    work_off
    TaskerCore.prune(older_than: 0)
    feed.each_batch(follow: false) { nil }
    expect(feed.missed).to eq(4)
  end

  it "goes on when the database has been away" do
    work_off
    feed = described_class.new("specs", from: :beginning)
    client = TaskerCore.client
    away = TaskerCore::DatabaseUnavailable.new("no")
    times = Hash.new(0)
    %i[read_feed move_feed].each do |call|
      allow(client).to receive(call).and_wrap_original do |method, *words|
        (times[call] += 1) == 1 ? raise(away) : method.call(*words)
      end
    end
    expect(take(feed, 4, size: 2).map(&:number)).to eq(recorded)
  end

  it "forgets a consumer" do
    described_class.new("specs").each_batch(follow: false) { nil }
    expect([TaskerCore.client.forget_feed("specs"), TaskerCore.client.forget_feed("specs")]).to eq([true, false])
  end

  { "consumer" => [""], "from" => [nil, { from: -1 }], "event" => [nil, { events: ["step.nonsense"] }] }
    .each do |what, (name, options)|
    it "refuses a wrong #{what}" do
      expect { described_class.new(name, **(options || {})) }.to raise_error(TaskerCore::InvalidArgument, /#{what}/)
    end
  end

  it "refuses to begin beyond the last event, and to be without a block" do
    feed = described_class.new(from: 1)
    expect { feed.each_batch { nil } }.to raise_error(TaskerCore::InvalidArgument, /from is 1; allowed: 0 to 0/)
    expect { feed.each_batch }.to raise_error(TaskerCore::InvalidArgument, /block/)
    { { waiting: 5 } => "waiting is 5, allowed: nil or what can be called, such as a lambda",
      { size: 20_000 } => "size is 20000, allowed: a whole number from 1 to 10000",
      { follow: "x" } => 'follow is "x", allowed: true or false' }.each do |options, message|
      expect { described_class.new.each_batch(**options) { nil } }.to raise_error(TaskerCore::InvalidArgument, message)
    end
  end

  describe "with two worker processes and a consumer that is killed again and again", timeout: 180 do
    let(:fixtures) { File.join(CommandLine::ROOT, "spec/fixtures") }
    let(:ledger) { File.join(Dir.mktmpdir, "ledger") }

    def consuming(way, &block)
      words = [RbConfig.ruby, "-w", "-I", File.join(CommandLine::ROOT, "lib"), File.join(fixtures, "feed_consumer.rb")]
      running(*words, database_url, way, "10", env: {}, &block)
    end

    def taken
      sql("SELECT number FROM taken ORDER BY place").map { |row| row["number"].to_i }
    end

    # Kills it in the middle, three times; the last one takes the rest.
    def consume(way, tasks)
      3.times do |time|
        consuming(way) do |consumer|
          wait_until("it takes events", within: 60) { taken.size > (time + 1) * 60 }
          consumer.signal("KILL")
          wait_until("it is dead") { consumer.status }
        end
      end
      consuming(way) do
        tasks.each { |task| TaskerCore.wait(task, timeout: 90) }
        wait_until("the rest is taken", within: 60) { taken.uniq.size == recorded.size }
      end
    end

    def work_and_consume(way)
      load File.join(fixtures, "crash_workflow.rb")
      tasks = Array.new(2) { TaskerCore.submit("crash", context: { ledger: ledger }) }
      words = ["work", "-r", File.join(fixtures, "crash_workflow.rb"), "-c", "4"]
      tasker_running(*words) { tasker_running(*words) { consume(way, tasks) } }
    end

    it "has each event taken exactly once where the consumer keeps the cursor with what it does" do
      sql("CREATE TABLE taken (place bigint GENERATED ALWAYS AS IDENTITY, number bigint PRIMARY KEY)")
      work_and_consume("own")
      expect(taken).to eq(recorded)
    end

    it "has each event taken once, and those of the batch again that it was killed with" do
      sql("CREATE TABLE taken (place bigint GENERATED ALWAYS AS IDENTITY, number bigint)")
      work_and_consume("named")
      expect(taken.uniq).to eq(recorded)
      expect(taken.size - recorded.size).to be <= 3 * 10
    end
  end

  describe "tasker events" do
    it "shows what happened, one event a line" do
      work_off { raise TaskerCore::PermanentError, "no funds" }
      wait_until("nothing holds it back") { tasker("events").out.lines.size == 4 }
      lines = tasker("events", "--from", recorded.first.to_s, "--type", "step.*").out.lines

      expect(lines.map(&:split)).to match([array_including("step.claimed", "only", "enqueued", "in_progress"),
                                           array_including("step.failed_permanently", "TaskerCore::PermanentError:")])
    end

    it "writes JSON lines for a consumer, and goes on where it was" do
      work_off
      shown = []
      wait_until("nothing holds it back") do
        shown += tasker("events", "--consumer", "specs", "--json").out.lines.map { |line| JSON.parse(line) }
        shown.size == 4
      end
      expect(shown.map { |event| event["number"] }).to eq(recorded)
      expect(tasker("events", "--consumer", "specs").out).to eq("")
    end

    it "says whom it waits for" do
      tasker_running("events", "--from", "beginning", "--follow") do |program|
        connection = PG.connect(database_url, application_name: "the slow one")
        connection.exec("BEGIN; SELECT pg_current_xact_id()")
        work_off
        wait_until("it says so", within: 20) { program.text.include?("the slow one") }
        expect(program.text).to match(/waits for a transaction that is open for .*: session \d+ of user/)
        connection.exec("COMMIT")
        connection.close
        wait_until("it goes on", within: 20) { program.text.include?("task.completed") }
      end
    end

    it "refuses what is no position" do
      outcome = tasker("events", "--from", "yesterday")
      expect([outcome.status, outcome.err]).to match([2, /--from must be a number, beginning or now/])
    end
  end
end
