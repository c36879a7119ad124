# frozen_string_literal: true

require "securerandom"
require "time"

RSpec.describe "A handler that fails", :database do
  include Workflows

  def attempts
    sql("SELECT attempt, outcome, error FROM tasker_attempts ORDER BY attempt")
      .map { |row| [row["attempt"].to_i, row["outcome"], row["error"] && JSON.parse(row["error"])] }
  end

  def explanation_of(task_id)
    TaskerCore.explain(task_id, step: "only").fetch("steps").first.fetch("summary")
  end

  def fail_once_with(**options, &failure)
    define_one(**options) { |_task, _sequence, step| step.attempt == 1 ? failure.call : step.attempt }
    run("one")
  end

  describe "in a way that may pass" do
    {
      "RetryableError" => -> { raise TaskerCore::RetryableError, "busy" }, "StandardError" => -> { raise "boom" },
      "an error of the library" => -> { raise TaskerCore::DatabaseError, "gone" },
      "exit" => -> { exit(3) }, "abort" => -> { Kernel.exit(false) }, "Interrupt" => -> { raise Interrupt },
      "a signal exception" => -> { raise SignalException, "TERM" }, "NoMemoryError" => -> { raise NoMemoryError },
      "an Exception of no class of ours" => -> { raise Exception, "odd" }, # rubocop:disable Lint/RaiseException -- what is tested
      "throw without catch" => -> { throw :nowhere }, "the end of its thread" => -> { Thread.current.kill },
      "a message that is not UTF-8" => -> { raise "\xFF\u0000".b },
      "a message of a megabyte" => -> { raise "x" * 1_000_000 }
    }.each do |what, failure|
      it "is tried again after #{what}" do
        result = fail_once_with(&failure)

        expect(result).to be_complete
        expect(result.step("only")).to have_attributes(attempts: 2, results: 2)
        expect(attempts.map { |attempt, outcome, _| [attempt, outcome] }).to eq([[1, "retryable"], [2, "succeeded"]])
      end
    end

    it "is recorded with class, message, backtrace and what was behind it" do
      fail_once_with do
        raise KeyError, "inner"
      rescue KeyError
        raise ArgumentError, "outer"
      end

      expect(attempts.first.last).to include(
        "class" => "ArgumentError", "message" => "outer",
        "causes" => [{ "class" => "KeyError", "message" => "inner" }],
        "backtrace" => include(a_string_including("handler_errors_spec.rb"))
      )
    end

    it "is given up after the last attempt, and the task with it" do
      define_one(retry_limit: 2) { raise "always" }
      result = run("one")

      expect(result.state).to eq("error")
      expect(result.step("only")).to have_attributes(
        state: "error", attempts: 2, error: include("class" => "RuntimeError", "message" => "always")
      )
      expect(explanation_of(result.task_id)).to include("RuntimeError").and include("always")
    end

    it "is given up at once where the step is not retryable" do
      define_one(retryable: false) { raise "once" }

      expect(run("one").step("only")).to have_attributes(state: "error", attempts: 1)
    end

    it "is tried again when it takes longer than its timeout, and its late results change nothing" do
      late = Thread::Queue.new
      define_one(timeout: 0.2) { |_task, _sequence, step| step.attempt == 1 ? late.pop : "in time" }
      task_id = TaskerCore.submit("one")
      working do |worker|
        expect(TaskerCore.wait(task_id, timeout: 30)).to be_complete
        late << "late"
        wait_until("the late report is refused") { worker.stats["stale"] == 1 }
      end

      expect(TaskerCore.result(task_id).results_of("only")).to eq("in time")
      expect(attempts.map { |attempt, outcome, _| [attempt, outcome] }).to eq([[1, "timeout"], [2, "succeeded"]])
    end

    {
      "seconds" => -> { 3_600 }, "the text of seconds" => -> { "3600" }, "a Time" => -> { Time.now + 3_600 },
      "an HTTP date" => -> { (Time.now + 3_600).httpdate }
    }.each do |what, retry_after|
      it "waits as long as the handler asks for with #{what}" do
        define_one(retry_limit: 2) { raise TaskerCore::RetryableError.new("busy", retry_after: retry_after.call) }
        task_id = TaskerCore.submit("one")
        working do
          wait_until("the task waits", within: 30) { TaskerCore.status(task_id).state == "waiting" }
        end
        seconds = sql("SELECT extract(epoch FROM available_at - now()) AS s FROM tasker_ready_steps").first["s"].to_f

        expect(seconds).to be_between(3_500, 3_600)
      end
    end

    it "waits a day at most" do
      define_one { raise TaskerCore::RetryableError.new("busy", retry_after: "9" * 30) }
      TaskerCore.submit("one")
      working { wait_until("it failed", within: 30) { attempts.any? } }
      seconds = sql("SELECT extract(epoch FROM available_at - now()) AS s FROM tasker_ready_steps").first["s"].to_f

      expect(seconds).to be_between(86_000, 86_400)
    end

    it "is tried again at once where the handler names a moment that has passed" do
      slow = { backoff: "fixed", base_seconds: 3_600, max_seconds: 3_600 }
      result = fail_once_with(retry: slow) do
        raise TaskerCore::RetryableError.new("busy", retry_after: "Sat, 31 Jan 2015 12:02:00 GMT")
      end

      expect(result).to be_complete
    end

    [:soon, "in a while", -5, Float::NAN, [30]].each do |retry_after|
      it "is tried again by its policy, and is recorded whole, where the handler asks for #{retry_after.inspect}" do
        result = fail_once_with do
          raise IOError, "cut"
        rescue IOError
          raise TaskerCore::RetryableError.new("busy", retry_after: retry_after, error_code: "CUT")
        end

        expect(result).to be_complete
        expect(attempts.first.last)
          .to include("kind" => "retryable", "class" => "TaskerCore::RetryableError", "code" => "CUT",
                      "message" => start_with("busy (retry_after is "), "causes" => [include("class" => "IOError")],
                      "backtrace" => include(a_string_including("handler_errors_spec.rb")))
      end
    end
  end

  describe "for good" do
    {
      "PermanentError" => -> { raise TaskerCore::PermanentError.new("stolen", error_code: "CARD") },
      "NotImplementedError" => -> { raise NotImplementedError, "later" },
      "LoadError" => -> { require "a_file_that_does_not_exist" },
      "SyntaxError" => -> { eval("1 +") }, # rubocop:disable Style/EvalWithLocation -- raises what is tested
      "SystemStackError" => -> { (recurse = -> { recurse.call }).call },
      "SecurityError" => -> { raise SecurityError, "no" }
    }.each do |what, failure|
      it "ends the step at once after #{what}, and the worker goes on" do
        result = fail_once_with(&failure)

        expect(result.step("only")).to have_attributes(state: "error", attempts: 1)
        expect(attempts.map { |_, outcome, _| outcome }).to eq(["permanent"])
      end
    end

    it "records the application's code" do
      result = fail_once_with { raise TaskerCore::PermanentError.new("stolen", error_code: :CARD_STOLEN) }

      expect(result.step("only").error).to include("message" => "stolen", "code" => "CARD_STOLEN")
    end

    it "leaves steps undone that depend on it" do
      handler("Fails") { raise TaskerCore::PermanentError }
      handler("Never") { raise "executed" }
      TaskerCore.define("chain") do
        step "first", handler: "Fails"
        step "second", handler: "Never", depends_on: "first"
      end
      result = run("chain")

      expect([result.state, result.step("second").attempts]).to eq(["error", 0])
    end
  end

  it "is blocked by BlockedError, and says why" do
    define_one { raise TaskerCore::BlockedError, "ask somebody" }
    task_id = TaskerCore.submit("one")
    status = working { TaskerCore.wait(task_id, timeout: 30) }

    expect(status).to have_attributes(state: "blocked", blocked?: true, terminal?: false)
    expect(explanation_of(task_id)).to include("ask somebody")
  end

  it "is blocked where its class is missing, which the explanation names" do
    define_one { 1 }
    task_id = TaskerCore.submit("one")
    hide_const("OnlyHandler")
    status = working { TaskerCore.wait(task_id, timeout: 30) }

    expect(status.state).to eq("blocked")
    expect(explanation_of(task_id)).to include("OnlyHandler cannot be found")
  end

  it "is blocked where its class is no handler any more" do
    define_one { 1 }
    task_id = TaskerCore.submit("one")
    stub_const("OnlyHandler", Class.new)

    expect(working { TaskerCore.wait(task_id, timeout: 30) }.state).to eq("blocked")
  end

  it "fails for the attempt when its class cannot be made" do
    define_one { 1 }
    OnlyHandler.class_eval { def initialize(config:) = raise(ArgumentError, "bad #{config}") }

    expect(run("one").step("only").error).to include("class" => "ArgumentError")
  end

  it "fails when process_results does" do
    define_one(retryable: false) { 1 }
    OnlyHandler.class_eval { def process_results(*) = raise("in process_results") }

    expect(run("one").step("only").error).to include("message" => "in process_results")
  end

  describe "with results that cannot be kept" do
    deep = Array.new(150).inject(1) { |inner, _| [inner] }
    {
      "an object" => [-> { { "a" => { "b" => Object.new } } }, "results.a.b is of class Object"],
      "a time" => [-> { { "at" => Time.at(0) } }, "results.at is of class Time"],
      "no number" => [-> { { "n" => Float::NAN } }, "results.n is NaN"],
      "bytes" => [-> { { "b" => "\xFF".b } }, "results.b is not UTF-8"],
      "U+0000" => [-> { { "b" => "a\u0000b" } }, "results"], "deep nesting" => [-> { deep }, "results"],
      "more than may be kept" => [-> { "x" * 20_000_000 }, "results"]
    }.each do |what, (make, message)|
      it "ends in error after #{what}, naming it" do
        define_one { make.call }
        step = run("one").step("only")

        expect(step).to have_attributes(state: "error", attempts: 1)
        expect(step.error).to include("class" => "TaskerCore::PermanentError", "code" => "INVALID_RESULTS",
                                      "message" => a_string_including("cannot be kept").and(include(message)))
      end
    end
  end

  {
    "nil" => [nil, nil], "symbols" => [{ state: :ok }, { "state" => "ok" }], "text" => %w[x x],
    "false" => [false, false],
    "a large number" => [10**50, 10**50], "text in another encoding" => ["\u00e9".encode("ISO-8859-1"), "é"]
  }.each do |what, (output, results)|
    it "keeps #{what} as results" do
      define_one { output }

      expect(run("one").results_of("only")).to eq(results)
    end
  end

  it "says what is near when it asks for a step that does not exist" do
    define_one(retryable: false) { |_task, sequence, _step| sequence.results_of("onyl") }

    expect(run("one").step("only").error)
      .to include("class" => "TaskerCore::InvalidArgument",
                  "message" => 'default/one 0.1.0 has no step "onyl"; did you mean "only"?')
  end
end
