# frozen_string_literal: true

require "tmpdir"

RSpec.describe "A handler in the middle of an attempt", :database do
  include CommandLine
  include Workflows

  let(:workflow) { File.join(CommandLine::ROOT, "spec/fixtures/checkpoints_workflow.rb") }

  def wait_for_state(task_id, state)
    Waiting.wait_until("task #{task_id} is #{state}", within: Workflows::PATIENCE_SECONDS) do
      TaskerCore.status(task_id).state == state
    end
  end

  def summary(task_id, step = "only")
    explained(task_id, step)["summary"]
  end

  def explained(task_id, step = "only")
    TaskerCore.explain(task_id, step: step)["steps"].first
  end

  def notes(file)
    File.exist?(file) ? File.readlines(file, chomp: true) : []
  end

  describe "makes checkpoints" do
    it "and the next attempt goes on from the last one" do
      seen = []
      define_one(retry_limit: 3) do |_, _, step|
        seen << [step.attempt, step.cursor, step.data]
        step.checkpoint(cursor: step.attempt * 10, data: { "sum" => step.attempt }) if step.attempt < 3
        seen << [step.attempt, step.cursor, step.data]
        raise "once more" if step.attempt < 3

        "done"
      end
      expect(run("one")).to be_complete
      expect(seen).to eq([[1, nil, nil], [1, 10, { "sum" => 1 }], [2, 10, { "sum" => 1 }], [2, 20, { "sum" => 2 }],
                          [3, 20, { "sum" => 2 }], [3, 20, { "sum" => 2 }]])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    # The network delivers it when the handler has sent it again, and gone on.
    it "of which one that comes late replaces no later one" do
      seen = []
      late = File.read(File.join(CommandLine::ROOT, "src/store/sql/checkpoint.sql"))
      define_one(retry_limit: 2) do |_, _, step|
        seen << step.cursor
        step.checkpoint(cursor: "first")
        number = sql("SELECT checkpoint_number AS number FROM tasker_step_waits").first["number"]
        worker = sql("SELECT worker_id FROM tasker_workflow_steps").first["worker_id"]
        step.checkpoint(cursor: "second")
        sql(late, step.step_id, step.attempt, worker, '"first"', nil, "t", number)
        raise "once more" if step.attempt < 2
      end
      expect(run("one")).to be_complete
      expect(seen).to eq([nil, "second"])
    end

    it "which keep the data that they do not replace, and go with waits" do
      define_one do |_, _, step|
        case step.attempt
        when 1
          step.checkpoint(cursor: { id: 7, at: ["a", nil] }, data: [1])
          step.checkpoint(cursor: nil)
          step.checkpoint(cursor: "z")
          step.sleep_for(0)
        when 2 then step.sleep_for(0, data: [2])
        else [step.cursor, step.data, step.waits]
        end
      end
      expect(run("one").results_of("only")).to eq(["z", [2], 2])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "that are refused where JSON cannot say them" do
      define_one { |_, _, step| step.checkpoint(cursor: Time.now) }
      expect(run("one").step("only").error["message"]).to include("cursor is of class Time")
      define_one("large", retry_limit: 1) { |_, _, step| step.checkpoint(cursor: 1, data: "x" * 2_000_000) }
      expect(run("large").step("only").error["message"]).to match(/data of a checkpoint .*1048576/)
      define_one("batch", retry_limit: 1) { |_, _, step| step.each_batch([1], of: 0) { nil } }
      expect(run("batch").step("only").error["message"]).to include("of is 0, allowed: a whole number above 0")
      { nil => /\Aelements is nil, allowed: an Enumerable/, 1.0..2.0 => /\Aelements is 1.0..2.0, allowed/,
        5 => /\Aelements is 5/ }.each do |elements, message|
        define_one("wrong", retry_limit: 1) { |_, _, step| step.each_batch(elements) { nil } }
        expect(run("wrong").step("only").error["message"]).to match(message)
      end
      define_one("blockless", retry_limit: 1) { |_, _, step| step.each_batch([1]) }
      expect(run("blockless").step("only").error["message"]).to eq("each_batch needs a block that takes a batch")
    end

    it "which explain tells, until the step is complete" do
      define_one do |_, _, step|
        step.checkpoint(cursor: { "id" => 7 }) if step.attempt == 1
        raise TaskerCore::BlockedError, "the file ends early" if step.attempt == 1
      end
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "blocked")
        expect(summary(task_id)).to match(/ends early; its last checkpoint is {"id":7}, \S+ \(.* ago\)\z/)
        expect(explained(task_id)["checkpoint"]).to include("cursor" => { "id" => 7 }, "at" => /\A20/)
        TaskerCore.retry(task_id, step: "only")
        wait_for_state(task_id, "complete")
        expect(explained(task_id)).not_to have_key("checkpoint")
      end
    end

    it "which nobody reads without the keys" do
      TaskerCore.client.close
      TaskerCore.configure { |c| c.encryption_keys = { "a" => ["k" * 32].pack("m0") } }
      define_one do |_, _, step|
        step.checkpoint(cursor: "4111", data: "4112") if step.attempt == 1
        raise "once" if step.attempt == 1

        [step.cursor, step.data]
      end
      expect(run("one").results_of("only")).to eq(%w[4111 4112])
      expect(sql("SELECT t::text FROM tasker_step_waits t").flat_map(&:values)).to contain_exactly(
        match(/tasker_encrypted.*tasker_encrypted/).and(satisfy { |row| !row.match?(/411[12]/) })
      )
    ensure
      TaskerCore.client.close
      TaskerCore.configure { |c| c.encryption_keys = {} }
    end
  end

  describe "does batches" do
    it "of a range, each once, whatever fails between them" do
      batches = []
      define_one(retry_limit: 10) do |_, _, step|
        step.each_batch(3...14, of: 4) do |numbers|
          raise "once" if batches.size == 1 && step.attempt == 1

          batches << numbers
        end
        step.cursor
      end
      expect(run("one").results_of("only")).to eq(11)
      expect(batches).to eq([3..6, 7..10, 11..13])
    end

    it "of anything that can be gone through, and nothing of nothing" do
      batches = []
      define_one(retry_limit: 10) do |_, _, step|
        step.each_batch(%w[a b c d e].each, of: 2) do |letters|
          batches << letters
          raise "once" if letters == %w[c d] && step.attempt == 1
        end
        step.each_batch(1..0) { batches << :never }
      end
      run("one")
      expect(batches).to eq([%w[a b], %w[c d], %w[c d], %w[e]])
    end
  end

  it "goes on in another process where the first was killed, and is not given up as long as it gets on" do
    load workflow
    Dir.mktmpdir do |folder|
      file = File.join(folder, "notes")
      task_id = TaskerCore.submit("import", context: { rows: 100, batch: 10, notes: file, crashes: 2 })
      in_two_processes(workflow) do
        tasker_running("work", "-r", workflow, "-c", "1") { TaskerCore.wait(task_id, timeout: 60) }
      end
      result = TaskerCore.result(task_id)
      expect(result.results_of("import")).to eq(100)
      # A batch in which a process dies is done again, and no other: the second one, and the one after it.
      expect(notes(file).map(&:to_i).tally).to eq((1..100).to_h { |number| [number, (11..30).cover?(number) ? 2 : 1] })
      expect(result.step("import").attempts).to eq(3)
      expect(explained(task_id, "import")["history"].map { |change| change["detail"] }).to include(
        { "crashes" => 0, "crash_limit" => 1, "checkpoint_moved" => true }
      )
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end
  end

  describe "whose attempt is ended by others" do
    it "learns it at once, ends, and its thread executes others" do
      started = Thread::Queue.new
      freed = Thread::Queue.new
      asked = []
      define_one do |_, _, step|
        asked << step.cancel_requested?
        started << true
        begin
          loop { sleep(0.001) && step.check_cancelled! }
        ensure
          freed << Process.clock_gettime(Process::CLOCK_MONOTONIC)
        end
      end
      handler("Other") { "free" }
      TaskerCore.define("other") { step "other", handler: "Other" }
      task_id = TaskerCore.submit("one")
      working(concurrency: 1, heartbeat_interval: 30, dead_after: 120) do
        started.pop
        TaskerCore.cancel(task_id, actor: "ada")
        cancelled = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        other = TaskerCore.submit("other")
        TaskerCore.wait(other, timeout: Workflows::PATIENCE_SECONDS)
        expect(freed.pop - cancelled).to be < 5
      end
      expect(asked).to eq([false])
      expect(summary(task_id)).to eq("its task was cancelled by ada while attempt 1 ran, which was cut off")
      expect(explained(task_id)["attempts"].map { |one| one["outcome"] }).to eq(["cancelled"])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    # The claim is taken away behind the engine's back, without a call.
    it "learns it with the next heartbeat where no call came", doctor: false do
      started = Thread::Queue.new
      define_one do |_, _, step|
        started << true
        sleep 0.01 until step.cancel_requested?
        started << :told
      end
      task_id = TaskerCore.submit("one")
      working(heartbeat_interval: 0.2) do
        started.pop
        sql("UPDATE tasker_workflow_steps SET state = 'cancelled', worker_id = NULL WHERE task_id = #{task_id}")
        expect(started.pop).to eq(:told)
      end
    end

    it "learns it from its next checkpoint, which is not written" do
      started = Thread::Queue.new
      go = Thread::Queue.new
      ended = Thread::Queue.new
      define_one(skippable: true) do |_, _, step|
        step.checkpoint(cursor: 1)
        started << true
        go.pop
        begin
          step.checkpoint(cursor: 2)
          ended << :written
        rescue StandardError
          ended << :rescued
        ensure
          ended << :left
        end
      end
      task_id = TaskerCore.submit("one")
      working do
        started.pop
        TaskerCore.skip(task_id, "only", actor: "ada")
        go << true
        expect(ended.pop).to eq(:left)
      end
      expect(sql("SELECT cursor FROM tasker_step_waits").map(&:values)).to eq([["1"]])
      expect(TaskerCore.result(task_id).step("only")).to have_attributes(state: "skipped", results: nil)
    end

    it "learns that its time is over" do
      told = Thread::Queue.new
      define_one(timeout: 0.05, retry_limit: 1) do |_, _, step|
        sleep 0.01 until step.cancel_requested?
        told << true
        step.check_cancelled!
        told << :never
      end
      task_id = run("one").task_id
      expect(told.pop).to be(true)
      expect(TaskerCore.result(task_id).step("only").error["kind"]).to eq("timeout")
      expect(told).to be_empty
    end

    it "ends within seconds, in whichever of two processes it runs" do
      load workflow
      Dir.mktmpdir do |folder|
        files = Array.new(4) { |number| File.join(folder, "notes-#{number}") }
        in_two_processes(workflow) do
          ids = files.map { |file| TaskerCore.submit("endless", context: { notes: file }) }
          wait_until("all run") { files.all? { |file| notes(file).size == 1 } }
          expect(files.map { |file| notes(file).first }.uniq.size).to eq(2)
          ids.each { |id| TaskerCore.cancel(id) }
          wait_until("all have ended", within: 10) { files.all? { |file| notes(file).size == 2 } }
          expect(ids.map { |id| TaskerCore.status(id).state }.uniq).to eq(["cancelled"])
        end
        expect(TaskerCore.client.doctor["ok"]).to be(true)
      end
    end
  end

  describe "with a time for all attempts together" do
    it "is not tried again later than that, and says so" do
      define_one(total_timeout: 60, retry: { base_seconds: 600, max_seconds: 600, jitter: 0.0 }) { raise "no route" }
      result = run("one")
      expect(result.state).to eq("error")
      expect(summary(result.task_id)).to eq("did not end within 60 s in all; its only attempt ended with " \
                                            "RuntimeError: no route; the next one would have begun too late")
      expect(explained(result.task_id)["history"].last).to include("cause" => "timed_out", "to" => "error")
      expect(count("tasker_step_deadlines")).to eq(0)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "is ended by then though its handler hangs, and its slot and its children go on" do
      told = Thread::Queue.new
      define = lambda do |dsl|
        dsl.step "slow", handler: "Slow", total_timeout: 0.3
        dsl.step "after", handler: "Any", depends_on: "slow", join: "all_done"
      end
      handler("Slow") do |_, _, step|
        sleep 0.01 until step.cancel_requested?
        told << true
      end
      handler("Any") { "went on" }
      TaskerCore.define("slow") { |dsl| define.call(dsl) }
      result = run("slow")
      expect(told.pop).to be(true)
      expect(result.results_of("after")).to eq("went on")
      expect(result.step("slow")).to have_attributes(state: "error")
      expect(result.step("slow").error).to include(
        "kind" => "timeout", "message" => "the step did not end within 0.3 s in all its attempts"
      )
      expect(summary(result.task_id, "slow"))
        .to start_with("did not end within 0.3 s in all; its only attempt ended with TaskerCore::TimeoutError")
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "is ended while it waits, and begins its time anew when it is tried again" do
      define_one(total_timeout: 0.2) { |_, _, step| step.attempt == 1 ? step.wait_for("never") : "now" }
      task_id = TaskerCore.submit("one")
      working do
        wait_for_state(task_id, "error")
        TaskerCore.retry(task_id)
        wait_for_state(task_id, "complete")
      end
      expect(count("tasker_step_deadlines")).to eq(0)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "says how long it has" do
      define_one(total_timeout: 3_600) { nil }
      task_id = TaskerCore.submit("one")
      expect(summary(task_id)).to match(/; in all its attempts together it has until 20\S+ \(in 60 min\)\z/)
      expect(explained(task_id)["deadline_at"]).to match(/\A20/)
    end

    it "is refused what is no time" do
      expect { define_one(total_timeout: 0) { nil } }
        .to raise_error(TaskerCore::InvalidTemplate, /total_timeout .*is 0; allowed: .*at most 31622400/)
    end
  end
end
