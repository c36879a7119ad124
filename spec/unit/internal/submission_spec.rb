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

  it "is empty without contexts" do
    expect([submission("order", []), submission].map(&:empty?)).to eq([true, false])
  end

  {
    { name: "" } => /\Aname is ""/, { name: 5 } => /\Aname is 5/, { name: "\xFF" } => /\Aname is/,
    { namespace: nil } => /\Anamespace is nil/, { version: 1 } => /\Aversion is 1/, { tags: "a" } => /\Atags is "a"/,
    { tags: [1] } => /\Atags\[0\] is 1/, { reason: 5 } => /\Areason is 5/, { initiator: "" } => /\Ainitiator is ""/,
    { contexts: {} } => /\Acontexts is \{\}/,
    { reson: "x" } => /\Aunknown option reson; did you mean "reason"\?/
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
