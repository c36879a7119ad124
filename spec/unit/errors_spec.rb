# frozen_string_literal: true

RSpec.describe TaskerCore::Error do
  {
    "configuration" => TaskerCore::ConfigurationError, "invalid_template" => TaskerCore::InvalidTemplate,
    "template_conflict" => TaskerCore::TemplateConflict, "unknown_template" => TaskerCore::UnknownTemplate,
    "invalid_context" => TaskerCore::InvalidContext, "invalid_argument" => TaskerCore::InvalidArgument,
    "not_found" => TaskerCore::NotFound, "duplicate_task" => TaskerCore::DuplicateTask,
    "feed_taken" => TaskerCore::FeedTaken,
    "invalid_transition" => TaskerCore::InvalidTransition,
    "database_unavailable" => TaskerCore::DatabaseUnavailable, "schema_mismatch" => TaskerCore::SchemaMismatch,
    "database" => TaskerCore::DatabaseError, "internal" => TaskerCore::InternalError
  }.each do |kind, error|
    it "turns the native kind #{kind} into #{error}" do
      expect(described_class.from_native(kind, "what it was", nil))
        .to be_an_instance_of(error).and have_attributes(message: "what it was", code: kind.to_sym)
    end
  end

  it "turns a native kind that it does not know into an internal error" do
    expect(described_class.from_native("surprise", "?", nil)).to be_an_instance_of(TaskerCore::InternalError)
  end

  it "keeps the native details, frozen" do
    details = described_class.from_native("not_found", "gone", '{"task_id":7,"path":["a"]}').details

    expect(details).to eq("task_id" => 7, "path" => ["a"])
    expect([details, details["path"]]).to all(be_frozen)
  end

  it "keeps details that are no JSON as they are" do
    expect(described_class.from_native("internal", "?", "{").details).to eq("unreadable_details" => "{")
  end

  it "has no details where the native details are no object" do
    expect(described_class.from_native("internal", "?", "[1]").details).to eq({})
  end

  it "does not change with the hash that it was given" do
    given = { "key" => "a" }
    error = described_class.new("?", details: given)
    given["key"] = "b"

    expect(error.details).to eq("key" => "a")
  end

  it "says that a database that does not answer may be tried again, and a wrong argument not" do
    expect(TaskerCore::DatabaseUnavailable.new.retryable?).to be(true)
    expect(TaskerCore::InvalidArgument.new.retryable?).to be(false)
  end

  it "believes details that say whether it may be tried again" do
    expect(TaskerCore::DatabaseError.new("deadlock", details: { "retryable" => true }).retryable?).to be(true)
  end

  it "is the root of every error of the library" do
    errors = TaskerCore.constants.map { |name| TaskerCore.const_get(name) }
                       .select { |constant| constant.is_a?(Class) && constant <= Exception }

    expect(errors.size).to be > 15
    expect(errors).to all(be <= described_class)
  end

  it "has another code for each class" do
    classes = ObjectSpace.each_object(described_class.singleton_class)
    codes = classes.select { |error| error.name.to_s.start_with?("TaskerCore") }.map { |error| error::CODE }

    expect(codes.tally.reject { |_, count| count == 1 }).to eq({})
  end
end
