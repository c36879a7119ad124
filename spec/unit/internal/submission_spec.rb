# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Submission do
  def submission(name = "order", contexts = [{}], **options)
    described_class.new(name, contexts, **options)
  end

  def parsed(submission, **options)
    JSON.parse(submission.json(**options))
  end

  it "fills in what was not given" do
    expect(parsed(submission)).to eq(
      "namespace" => "default", "name" => "order", "version" => nil, "initiator" => nil, "source_system" => nil,
      "reason" => nil, "tags" => [], "contexts" => [{}]
    )
  end

  it "passes on what was given" do
    options = { namespace: "shop", version: "2.0.0", initiator: "ada", source_system: "web", reason: "test",
                tags: ["x", :y] }
    given = submission("order", [{ a: 1 }, { "b" => [nil, 2.5] }], **options)

    expect(parsed(given)).to eq(
      "namespace" => "shop", "name" => "order", "version" => "2.0.0", "initiator" => "ada", "source_system" => "web",
      "reason" => "test", "tags" => %w[x y], "contexts" => [{ "a" => 1 }, { "b" => [nil, 2.5] }]
    )
  end

  it "uses the version of the loaded template only where none was asked for" do
    expect([submission, submission(version: "2.0.0")].map { |it| parsed(it, version: "1.0.0")["version"] })
      .to eq(%w[1.0.0 2.0.0])
  end

  it "passes on what the task is known by, and nothing where it is known by nothing" do
    given = { idempotency_key: :"order-17", unique_for: 60, on_duplicate: :raise }

    expect(parsed(submission(**given)).slice("idempotency_key", "unique_for_s", "on_duplicate", "unique"))
      .to eq("idempotency_key" => "order-17", "unique_for_s" => 60.0, "on_duplicate" => "raise")
    expect(parsed(submission(unique: true))["unique"]).to be(true)
    expect(parsed(submission(unique: false, idempotency_key: nil)).keys).not_to include("unique", "idempotency_key")
  end

  it "passes on by when the task has to have ended, and nothing without a deadline" do
    [60, 31_622_400].each { |at| expect(parsed(submission(deadline: at))["deadline_s"]).to eq(at.to_f) }
    expect(parsed(submission).keys).not_to include("deadline_s")
  end

  it "passes on the priority, and nothing where the template's counts" do
    [-32_768, 0, 32_767].each { |given| expect(parsed(submission(priority: given))["priority"]).to eq(given) }
    expect(parsed(submission(priority: nil)).keys).not_to include("priority")
  end

  it "is empty without contexts" do
    expect([submission("order", []), submission].map(&:empty?)).to eq([true, false])
  end

  {
    { name: "" } => /\Aname is ""/, { name: 5 } => /\Aname is 5/, { name: "\xFF" } => /\Aname is/,
    { namespace: nil } => /\Anamespace is nil/, { version: 1 } => /\Aversion is 1/, { tags: "a" } => /\Atags is "a"/,
    { tags: [1] } => /\Atags\[0\] is 1/, { reason: 5 } => /\Areason is 5/, { initiator: "" } => /\Ainitiator is ""/,
    { contexts: {} } => /\Acontexts is \{\}/,
    { idempotency_key: "" } => /\Aidempotency_key is ""/, { idempotency_key: 5 } => /\Aidempotency_key is 5/,
    { idempotency_key: "é" * 129 } => /\Aidempotency_key is .* allowed: 1 to 256 bytes/,
    { idempotency_key: "a\0" } => /\Aidempotency_key is .*without U\+0000/,
    { idempotency_key: "a", unique: true } => /\Aunique is true, allowed: only without idempotency_key/,
    { unique: "yes" } => /\Aunique is "yes", allowed: true or false/, { unique: nil } => /\Aunique is nil/,
    { unique: true, unique_for: 0 } => /\Aunique_for is 0, allowed: nil or a number of seconds above 0/,
    { unique: true, unique_for: -1 } => /\Aunique_for is -1/,
    { unique: true, unique_for: "5" } => /\Aunique_for is "5"/,
    { unique: true, unique_for: Float::INFINITY } => /\Aunique_for is Infinity/,
    { unique: true, unique_for: Float::NAN } => /\Aunique_for is NaN/,
    { deadline: 0 } => /\Adeadline is 0, allowed: nil or a number of seconds above 0, at most 31622400/,
    { deadline: 31_622_401 } => /\Adeadline is 31622401/, { deadline: "1d" } => /\Adeadline is "1d"/,
    { priority: 32_768 } => /\Apriority is 32768, allowed: a whole number from -32768 to 32767\z/,
    { priority: -32_769 } => /\Apriority is -32769/, { priority: 1.0 } => /\Apriority is 1\.0/,
    { priority: "1" } => /\Apriority is "1"/, { priorty: 1 } => /\Aunknown option priorty; did you mean "priority"/,
    { unique: true, on_duplicate: :ignore } => /\Aon_duplicate is :ignore, allowed: :return or :raise/,
    { unique_for: 5 } => /\Aunique_for is 5, allowed: only with idempotency_key or unique/,
    { on_duplicate: :return } => /\Aon_duplicate is :return, allowed: only with idempotency_key or unique/,
    { unique: true, contexts: [{}, {}] } => /\Acontexts\.size is 2, allowed: 1, with/,
    { idempotency_key: "a", contexts: [] } => /\Acontexts\.size is 0, allowed: 1, with/,
    { reson: "x" } => /\Aunknown option reson; did you mean "reason"\?/,
    { conection: 1 } => /\Aunknown option conection; did you mean "connection"\?/,
    { colour: 1 } => /\Aunknown option colour, allowed: namespace, version, /
  }.each do |given, message|
    it "refuses #{given}" do
      name, contexts = { name: "order", contexts: [{}] }.merge(given).values_at(:name, :contexts)

      expect { submission(name, contexts, **given.except(:name, :contexts)) }
        .to raise_error(TaskerCore::InvalidArgument, message)
    end
  end

  {
    [5] => /\Acontext is of class Integer, allowed: a Hash/, [nil] => /\Acontext is of class NilClass/,
    [{}, "x"] => /\Acontexts\[1\] is of class String/, [{ "at" => Time.at(0) }] => /\Acontext\.at is of class Time/,
    [{}, { a: { b: :c } }] => /\Acontexts\[1\]\.a\.b is of class Symbol/
  }.each do |contexts, message|
    it "refuses contexts #{contexts.inspect[0, 40]}" do
      expect { submission("order", contexts) }.to raise_error(TaskerCore::InvalidContext, message)
    end
  end
end
