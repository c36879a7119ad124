# frozen_string_literal: true

# Each case is a program of its own, so that Active Job is in no other spec.
RSpec.describe "Active Job", :database do
  include CommandLine

  before do
    missing = %w[activejob activerecord].reject { |name| Gem::Specification.find_all_by_name(name).any? }
    skip "#{missing.join(", ")} not installed" if missing.any?
  end

  def see(fixture, name)
    program = File.join(CommandLine::ROOT, "spec/fixtures/active_job_#{fixture}.rb")
    outcome = run_program(RbConfig.ruby, "-I", File.join(CommandLine::ROOT, "lib"), program, name,
                          env: { "DATABASE_URL" => database_url })
    raise "#{name} ended with #{outcome.status}: #{outcome.err}" unless outcome.status.zero?

    outcome.json
  end

  def error_of(seen)
    seen.fetch("error").values_at("class", "code", "message")
  end

  describe "with the adapter tasker_core" do
    def queuing(name)
      see("queuing", name)
    end

    it "performs a job, with its arguments, as a task of one step" do
      expect(queuing("listening")).to eq(
        "same" => true, "ids" => [1, 1], "arguments" => ["a", { "b" => [1.5, nil] }, { "c" => "d" }],
        "template" => ["active_job", "Tell", "1.0.0+default"]
      )
    end

    it "performs no job of a queue that no worker serves" do
      expect(queuing("not_listening")).to eq("performed" => 1, "other" => "pending")
    end

    it "has queues of any name" do
      seen = queuing("queues")

      expect(seen["performed"]).to contain_exactly(["low_priority"], ["q" * 64])
      expect(seen["others"]).to eq(%w[complete pending complete])
      expect(seen["versions"]).to match(["1.0.0+low-5fpriority", "1.0.0+a-20b-3a-c3-bc", /\A1\.0\.0\+--\h{40}\z/])
    end

    it "performs a job of the future when its time has come, or an operator says so, not before" do
      expect(queuing("future")).to eq("ids" => [1, 2], "early" => false, "performed" => 1, "summary" => "waits until",
                                      "states" => %w[waiting complete], "all" => 2)
    end

    it "refuses a time that is further away than a step can wait, and a queue that no worker can serve" do
      expect(queuing("refusals"))
        .to match("messages" => [/allowed: at most 365 days from now\z/,
                                 "the queue of Tell is \"#{"q" * 59}, allowed: text of 1 to 64 bytes"], "tasks" => 0)
    end

    it "keeps locale and time zone" do
      expect(queuing("surroundings")).to eq("seen" => %w[de Hawaii])
    end

    # https://github.com/rails/rails/blob/main/activejob/test/integration/queuing_test.rb
    it "performs jobs with higher priority first" do
      expect(queuing("priority")).to eq("performed" => %w[2 1], "priorities" => [20, 10], "words" => "")
    end

    it "performs jobs that are enqueued together in the order of their priorities, which 0 is where there is none" do
      expect(queuing("priorities_of_many"))
        .to eq("taken" => 4, "performed" => [["urgent"], ["usual"], ["late"], ["last"]], "priorities" => [5, 0, -5, 6])
    end

    it "refuses a priority that the database cannot hold, and writes nothing of it" do
      refusal = "priority is 32768, allowed: a whole number from -32768 to 32767"
      expect(queuing("refused_priorities")).to eq("messages" => [refusal, refusal], "tasks" => 0)
    end

    it "makes another task of a job that is tried again with another priority" do
      expect(queuing("other_priority"))
        .to eq("seen" => [1, 2], "priorities" => [3, -3], "states" => %w[complete complete])
    end

    it "calls the callbacks" do
      expect(queuing("callbacks")).to eq(
        "seen" => %w[before_enqueue after_enqueue before_perform around_perform perform after_perform]
      )
    end

    it "tries a job again by the same task as retry_on says, and keeps what the job keeps" do
      expect(queuing("retried")).to eq(
        "seen" => [[1, [], 1, "default", 1, false], [2, [1], 2, "default", 1, false], [3, [2], 3, "default", 1, false]],
        "states" => ["complete"], "attempts" => 3
      )
    end

    it "has a job wait for its next execution, which an operator may have begin at once" do
      expect(queuing("retried_later")).to eq("seen" => [1, 2], "states" => ["complete"])
    end

    it "leaves a job in error that has used up its attempts, until an operator has it tried again" do
      expect(queuing("exhausted")).to eq(
        "before" => 3, "seen" => [1, 2, 3, 3], "states" => ["error"],
        "failure" => [1, "active_job", "Fail", "1.0.0+default", "execution 3"]
      )
    end

    it "calls the block of retry_on in the place of an error" do
      expect(queuing("given_up")).to eq("seen" => "gives up: execution 2", "states" => ["complete"])
    end

    it "makes another task of a job that is tried again in another queue" do
      expect(queuing("other_queue")).to eq("seen" => [[1, "default", 1], [2, "slow", 2]],
                                           "states" => %w[complete complete])
    end

    it "completes what is discarded, also because a record is gone" do
      expect(queuing("discarded")).to eq("seen" => "discarded: ActiveJob::DeserializationError",
                                         "states" => %w[complete complete])
    end

    it "blocks a job whose class the worker does not have" do
      seen = queuing("unknown")

      expect(seen["states"]).to eq(["blocked"])
      expect(seen["error"]).to start_with("handler class Chain cannot be found")
    end

    it "tries nothing again by itself" do
      expect(queuing("unhandled")).to eq("seen" => [1, 1], "failed" => ["error"], "states" => ["error"],
                                         "error" => "FrozenError")
    end

    it "performs a job by its task that enqueues itself, and others it enqueues by theirs" do
      expect(queuing("itself")).to eq("of_task" => [2, 1, 0], "others" => [0, 0, 0, 0, 1],
                                      "states" => ["complete"] * 5)
    end

    it "finds records by their global ids" do
      expect(queuing("record")).to eq("seen" => ["Order"])
    end

    it "enqueues in the transaction of the application's" do
      expect(queuing("transaction")).to eq("tasks" => true, "performed" => [["kept"]], "orders" => 2)
    end

    it "enqueues many at once" do
      expect(queuing("many")).to eq("enqueued" => 4, "ids" => [1, 2, 3, 4], "performed" => 6,
                                    "states" => { "complete" => 3, "waiting" => 1 })
    end

    it "answers what Active Job asks of an adapter" do
      expect(queuing("answers")).to eq("seen" => [false, false], "without" => true, "name" => "tasker_core")
    end

    it "refuses a BigDecimal, which would not come back as it was before Active Job 7.1" do
      seen = queuing("decimal")

      if Gem::Specification.find_by_name("activejob").version < Gem::Version.new("7.1")
        expect(seen).to match("message" => /context\.job\.arguments\[0\] is of class BigDecimal/, "tasks" => 0)
      else
        expect(seen).to eq("seen" => ["BigDecimal"], "tasks" => 1)
      end
    end
  end

  describe "as the handler of a step" do
    def handling(name)
      see("handlers", name)
    end

    it "gets the attributes of the inputs that its parameters name" do
      expect(handling("named")).to eq(
        "seen" => [1, 7, "EUR", "n", %w[else more], "only", 1, "tasker-1048576", 1], "results" => { "total" => 7 }
      )
    end

    it "says which one is missing" do
      expect(error_of(handling("missing"))).to eq(
        ["TaskerCore::PermanentError", "MISSING_ARGUMENT",
         "perform of Invoice needs order_id, which the step's inputs lack; they have: currency"]
      )
    end

    it "has the step tried again as retry_on says, then as the step says" do
      expect(handling("tried_again")).to eq(
        "executions" => [1, 2, 3, 4], "ids" => [["tasker-1048576", 1]],
        "classes" => %w[TaskerCore::RetryableError TaskerCore::RetryableError IOError IOError]
      )
    end

    it "completes a step whose job is discarded or halted" do
      expect(handling("discarded")).to eq("states" => %w[complete complete], "results" => [nil, false])
    end

    it "gets items as they are, and records for their global ids" do
      expect(handling("items")).to eq("results" => [2, 4, "aa", 7])
    end

    it "is executed by Active Job where it says so, and counts its executions" do
      expect(handling("job_elsewhere")).to eq("executions" => [1, 2, 3, 4])
    end
  end

  describe "as the executor of steps" do
    def steps(name)
      see("steps", name)
    end

    it "gives a handler what a worker gives it, and keeps what it returns, attaches and spends" do
      seen = steps("everything")

      expect(seen["results"]).to eq(
        "parent" => { "here" => { "do" => "everything", "n" => 1 } }, "far" => "complete", "context" => 1,
        "config" => { "k" => 1 }, "key" => "tasker-1048578", "names" => %w[far first only], "waits" => 0, "data" => nil,
        "task" => [1, "all", "default", "2.0.0"], "cancelled" => false
      )
      expect(seen["artifacts"]).to contain_exactly(["log", { "deep" => [{ "a" => 1 }] }, nil], ["file", nil, "s3://x"])
      expect(seen.values_at("spent", "in_worker", "attempts")).to eq([1.5, false, seen["outcomes"].size])
      expect(seen["outcomes"]).to eq(%w[waiting succeeded]).or eq(%w[succeeded])
    end

    it "is handed the step with its queue, and the worker waits for a signal" do
      expect(steps("queue")).to eq("queue" => "rendering", "class" => "TaskerCore::Jobs::StepJob",
                                   "summary" => "waits for the signal \"active_job:1048576:1\"")
    end

    it "decides which branches are taken" do
      expect(steps("branches")).to eq("only" => ["complete", { "taken" => ["left"] }], "right" => ["skipped", nil],
                                      "left" => ["complete", { "here" => {} }])
    end

    it "executes steps that are added, and adds some" do
      seen = steps("growth")

      expect(seen["results"]).to match("only" => "grown", "more" => { "attempt" => 1 })
      expect(seen["inputs"]).to eq("n" => 1)
    end

    it "executes the items of map steps" do
      expect(steps("mapped")).to eq("results" => [2, 4, 6])
    end

    it "lets failures mean what they mean in a worker" do
      seen = steps("failures")
      retried = seen["ArgumentError"]

      expect(seen["permanent"].values_at(0, 2)).to match(
        ["error", include("class" => "TaskerCore::PermanentError", "message" => "never", "code" => "STOLEN")]
      )
      expect(seen["blocked"][0]).to eq("blocked")
      expect([seen["RangeError"][0], seen["IOError"][0]]).to eq(%w[error blocked])
      expect(retried.values_at(0, 3)).to eq(["error", ["KeyError"]])
      expect(retried[2]["message"]).to match(/\Aattempt [23]\z/)
    end

    it "tries a failed step again when the failure says" do
      seen = steps("later")

      expect([seen["wait"], *error_of(seen)]).to eq([3_600, "TaskerCore::RetryableError", "BUSY", "later"])
    end

    it "is handed the step anew when a job says nothing in time, and that job does nothing when it comes" do
      expect(steps("lost")).to eq(
        "performed" => [1, 1], "results" => { "attempt" => 3 },
        "attempts" => [["waiting", nil], %w[retryable JOB_LOST], ["succeeded", nil]]
      )
    end

    it "is handed the step anew when an operator has it tried again, and the job of before does nothing" do
      expect(steps("late")).to eq("outcomes" => %w[waiting succeeded], "performed" => [2],
                                  "results" => { "attempt" => 2 })
    end

    it "counts the first outcome of a job that is performed twice" do
      expect(steps("twice")).to eq("performed" => 2, "states" => ["complete"], "attempts" => 1)
    end

    it "does nothing for a task that is cancelled" do
      expect(steps("cancelled")).to eq("performed" => 0, "states" => ["cancelled"])
    end

    it "tells a handler that its task is cancelled" do
      expect(steps("told")).to eq("told" => "told", "states" => ["cancelled"])
    end

    it "refuses what only a worker can give" do
      seen = steps("unsupported")

      expect(seen.keys).to eq(%w[sleep_for wait_for signal run_workflow each_batch])
      expect(seen.values.map(&:first).uniq).to eq(["UNSUPPORTED_BY_EXECUTOR"])
      expect(seen["wait_for"].last).to include("has no signals: have a step of its own do that")
    end

    it "refuses results that are too large" do
      expect(error_of(steps("much"))).to match(["TaskerCore::PermanentError", "INVALID_RESULTS", /cannot be kept/])
    end

    it "leaves a job to be performed again whose process is told to stop" do
      expect(steps("interrupted")).to eq("stopped" => "the process stops", "results" => "done", "attempts" => 2)
    end

    it "is told of a task in the clear only where nothing is encrypted" do
      expect(steps("sealed")).to eq(
        "clear" => false, "seen" => { "secret" => "s3cret" }, "states" => ["complete"],
        "refused" => "the job of a step cannot be read: the key \"b\" is not among the encryption keys"
      )
    end

    it "refuses signals that do not say how the job ended" do
      seen = steps("forged")

      expect(seen.values.map(&:first).uniq).to eq(["permanent"])
      expect(seen.slice("relieve x", "succeed", "").values.map(&:last)).to eq(["UNREADABLE_OUTCOME"] * 3)
    end

    it "fails a step that it does not take" do
      expect(steps("refused")).to eq("states" => ["error"], "attempts" => %w[JOB_REFUSED JOB_REFUSED])
    end
  end
end
