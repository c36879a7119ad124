# frozen_string_literal: true

require "stringio"
require "tasker_core/cli"

RSpec.describe TaskerCore::CLI::Failure do
  let(:err) { StringIO.new }

  def failure(**options)
    described_class.new(TaskerCore::CLI::Output.new(out: StringIO.new, err: err, env: {}), **options)
  end

  def status_of(error)
    failure.guard { raise error }
  end

  it "gives the block's status when nothing goes wrong" do
    expect([failure.guard { 1 }, err.string]).to eq([1, ""])
  end

  {
    TaskerCore::UnknownTemplate => 2, TaskerCore::InvalidContext => 2, TaskerCore::InvalidTemplate => 2,
    TaskerCore::TemplateConflict => 2, TaskerCore::NotFound => 2, TaskerCore::HandlerNotFound => 2,
    TaskerCore::ConfigurationError => 2, TaskerCore::InvalidArgument => 2, TaskerCore::InvalidTransition => 2,
    TaskerCore::DatabaseUnavailable => 2, TaskerCore::SchemaMismatch => 2,
    TaskerCore::DatabaseError => 1, TaskerCore::InternalError => 1, TaskerCore::TimeoutError => 1
  }.each do |error, status|
    it "ends with #{status} and one line after #{error}" do
      expect(status_of(error.new("what it was"))).to eq(status)
      expect(err.string).to eq("tasker: what it was\n")
    end
  end

  it "ends with 2 after wrong usage and says where help is" do
    expect(status_of(TaskerCore::CLI::UsageError.new("missing ID", see: "tasker status --help"))).to eq(2)
    expect(err.string).to eq("tasker: missing ID\n  see: tasker status --help\n")
  end

  it "ends with 130 after Ctrl-C" do
    expect([status_of(Interrupt), err.string]).to eq([130, ""])
  end

  it "is silent when the reader went away" do
    expect([status_of(Errno::EPIPE), err.string]).to eq([0, ""])
  end

  it "says what the system refused, without a stack trace" do
    expect(status_of(Errno::ENOSPC.new("<STDOUT>"))).to eq(1)
    expect(err.string.lines).to eq(["tasker: the system refused: No space left on device - <STDOUT>\n",
                                    "  run it again with TASKER_DEBUG=1 to see where\n"])
  end

  it "calls anything else a defect, without a stack trace" do
    expect(status_of(NoMethodError.new("undefined method"))).to eq(1)
    expect(err.string).to match(/\Atasker: unexpected NoMethodError: undefined method\n  .*TASKER_DEBUG=1.*\n\z/)
  end

  it "shows the stack trace to those who ask for it" do
    failure(debug: true).guard { raise TaskerCore::NotFound, "task 7 does not exist" }
    expect(err.string).to include("task 7 does not exist\n", "failure_spec.rb:")
  end

  it "writes control characters of a message out" do
    status_of(TaskerCore::NotFound.new("no step \e[2J"))
    expect(err.string).to eq("tasker: no step \\e[2J\n")
  end

  it "indents the further lines of a message" do
    status_of(TaskerCore::InvalidTemplate.new("two things:\nthis\nthat"))
    expect(err.string).to eq("tasker: two things:\n  this\n  that\n")
  end
end
