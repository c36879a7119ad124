# frozen_string_literal: true

RSpec.describe TaskerCore::TaskResult do
  def step(name, depends_on: [], milliseconds: 1.0, **more)
    { "name" => name, "state" => "complete", "attempts" => 1, "results" => nil, "error" => nil,
      "depends_on" => depends_on, "execution_ms" => milliseconds, "started_at" => "2026-01-31T12:00:00.000000Z",
      "finished_at" => nil, **more.transform_keys(&:to_s) }.freeze
  end

  def result(*steps, state: "complete")
    described_class.new({ "task_id" => 7, "state" => state, "steps" => steps }.freeze)
  end

  it "gives the results of a step by its name, as text or symbol" do
    done = result(step("load", results: { "rows" => 3 }), step("save", depends_on: ["load"]))

    expect([done.results_of("load"), done.results_of(:save)]).to eq([{ "rows" => 3 }, nil])
  end

  it "says what is near when a step does not exist" do
    expect { result(step("charge_card")).results_of("charge_crad") }
      .to raise_error(TaskerCore::InvalidArgument, 'task 7 has no step "charge_crad"; did you mean "charge_card"?')
  end

  it "gives each step with how it ended" do
    failed = step("a", state: "error", attempts: 3, error: { "class" => "E", "message" => "m", "code" => nil })

    expect(result(failed, state: "error").step("a"))
      .to have_attributes(name: "a", state: "error", complete?: false, attempts: 3, depends_on: [], execution_ms: 1.0,
                          error: { "class" => "E", "message" => "m", "code" => nil },
                          started_at: Time.utc(2026, 1, 31, 12), finished_at: nil)
  end

  it "keeps the order of the steps, frozen" do
    done = result(step("b"), step("a", depends_on: ["b"]))

    expect(done.steps.map(&:name)).to eq(%w[b a])
    expect([done, done.steps, done.steps.first]).to all(be_frozen)
  end

  it "knows whether the task is over and complete" do
    expect([result(state: "complete"), result(state: "error"), result(state: "blocked")]
      .map { |it| [it.terminal?, it.complete?] }).to eq([[true, true], [true, false], [false, false]])
  end

  it "becomes a hash that JSON can say" do
    steps = [step("a"), step("b", depends_on: ["a"])]

    expect(JSON.parse(JSON.generate(result(*steps).to_h)))
      .to eq("task_id" => 7, "state" => "complete", "steps" => steps)
  end

  describe "#critical_path" do
    it "is the chain of dependent steps that took longest" do
      done = result(step("a", milliseconds: 10.0), step("short", depends_on: ["a"], milliseconds: 5.0),
                    step("long", depends_on: ["a"], milliseconds: 500.0),
                    step("join", depends_on: %w[short long], milliseconds: 1.0),
                    step("alone", milliseconds: 400.0))

      expect(done.critical_path[:names]).to eq(%w[a long join])
      expect(done.critical_path[:seconds]).to be_within(1e-9).of(0.511)
    end

    it "leaves out steps that were not executed" do
      done = result(step("a", milliseconds: 10.0), step("b", depends_on: ["a"], milliseconds: nil, state: "cancelled"))

      expect(done.critical_path).to eq(names: ["a"], seconds: 0.01)
    end

    it "is empty where nothing was executed" do
      expect(result(step("a", milliseconds: nil)).critical_path).to eq(names: [], seconds: 0.0)
    end

    it "is found in a chain of 20,000 steps without trouble" do
      chain = Array.new(20_000) { |i| step("s#{i}", depends_on: i.zero? ? [] : ["s#{i - 1}"]) }

      expect(result(*chain).critical_path[:seconds]).to be_within(1e-6).of(20)
    end
  end
end
