# frozen_string_literal: true

RSpec.describe TaskerCore::Sequence do
  let(:pieces) do
    TemplatePieces.new({ "namespace_name" => "shop", "name" => "order", "version" => "1.0.0", "step_templates" => [
                         step("load"), step("check", ["load"]), step("save", ["check"])
                       ] })
  end
  let(:plan) { TaskerCore::Internal::TemplateSteps.new(pieces, 1).plan(2) }

  before { stub_const("AnyHandler", Class.new { def process(task, sequence, step) = nil }) }

  def step(name, parents = [])
    { "name" => name, "handler_class" => "AnyHandler", "depends_on_steps" => parents, "default_retry_limit" => 3 }
  end

  # What fetches results of steps that are no parents; counts how often it is asked.
  def database(results)
    Class.new do
      attr_reader :asked

      define_method(:results_of) do |task_id, name|
        (@asked ||= []) << [task_id, name]
        results[name]
      end
    end.new
  end

  def sequence(parents: '{"check":{"ok":true}}', native: nil)
    described_class.new(7, plan, parents, native)
  end

  it "gives the results of a parent, frozen, without asking the database" do
    results = sequence.results_of("check")

    expect(results).to eq("ok" => true).and be_frozen
    expect(sequence.results_of(:check)).to eq("ok" => true)
  end

  it "asks the database for the results of any other step, once when there are some" do
    native = database("load" => '{"rows":[1]}')
    seen = sequence(native: native)

    expect([seen.results_of("load"), seen.results_of("load")]).to eq([{ "rows" => [1] }] * 2)
    expect(native.asked).to eq([[7, "load"]])
  end

  it "asks again while there are none" do
    native = database({})
    seen = sequence(native: native)

    expect([seen.results_of("load"), seen.results_of("load")]).to eq([nil, nil])
    expect(native.asked.size).to eq(2)
  end

  it "gives nil for a parent whose results are null" do
    expect(sequence(parents: '{"check":null}').results_of("check")).to be_nil
  end

  it "finds a step that answers name and results" do
    expect(sequence.find("check")).to have_attributes(name: "check", results: { "ok" => true })
    expect(sequence.find_step_by_name(:check).results).to eq("ok" => true)
  end

  it "says what is near when a step does not exist" do
    message = 'shop/order 1.0.0 has no step "chekc"; did you mean "check"?'

    expect { sequence.results_of("chekc") }.to raise_error(TaskerCore::InvalidArgument, message)
    expect { sequence.find("chekc") }.to raise_error(TaskerCore::InvalidArgument, message)
  end

  it "knows the names of all steps, in order" do
    expect(sequence.names).to eq(%w[load check save])
    expect(sequence.steps.map(&:name)).to eq(%w[load check save])
  end
end
