# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::FailureReport do
  def raised(error)
    raise error
  rescue Exception => e # rubocop:disable Lint/RescueException -- also those that are no StandardError are reported
    e
  end

  def report(error)
    JSON.parse(described_class.json(raised(error)))
  end

  {
    TaskerCore::RetryableError.new("x") => "retryable", TaskerCore::PermanentError.new("x") => "permanent",
    TaskerCore::BlockedError.new("x") => "blocked", TaskerCore::HandlerNotFound.new("x") => "blocked",
    RuntimeError.new("x") => "retryable", ArgumentError.new("x") => "retryable", KeyError.new("x") => "retryable",
    TaskerCore::DatabaseError.new("x") => "retryable", TaskerCore::InvalidArgument.new("x") => "retryable",
    NotImplementedError.new("x") => "permanent", LoadError.new("x") => "permanent",
    SyntaxError.new("x") => "permanent", SystemStackError.new("x") => "permanent",
    SecurityError.new("x") => "permanent",
    NoMemoryError.new("x") => "retryable", SystemExit.new(1, "x") => "retryable", Interrupt.new("x") => "retryable",
    SignalException.new("TERM") => "retryable", Exception.new("x") => "retryable",
    Class.new(TaskerCore::PermanentError).new("x") => "permanent"
  }.each do |error, kind|
    it "says that #{error.class.name || "a subclass of PermanentError"} is #{kind}" do
      expect(report(error)["kind"]).to eq(kind)
    end
  end

  it "records class, message and where it was raised" do
    expect(report(ArgumentError.new("no route")))
      .to match("kind" => "retryable", "classified_by" => nil, "class" => "ArgumentError", "message" => "no route",
                "causes" => [], "backtrace" => start_with(a_string_including("failure_report_spec.rb:")))
  end

  it "follows the rule of a table, and says which" do
    rule = TaskerCore::Internal::ErrorClasses::Rule.new(kind: "blocked", source: "error_classes of the step: IOError")

    expect(JSON.parse(described_class.json(raised(EOFError.new("x")), rule)))
      .to include("kind" => "blocked", "classified_by" => "error_classes of the step: IOError", "class" => "EOFError")
    expect(described_class.kind(EOFError.new, rule)).to eq("blocked")
  end

  {
    { order: 7, at: [1, nil] } => { "order" => 7, "at" => [1, nil] }, {} => nil, nil => nil,
    { text: "a\u0000b" } => { "text" => "ab" }, { bad: Float::NAN } => /\Aa context that is no JSON/,
    { long: "x" * 20_000 } => /\A{"long":"xxx/
  }.each do |given, kept|
    it "keeps the context #{given.inspect[0, 40]} of a handler's error" do
      expect(report(TaskerCore::BlockedError.new("x", context: given))["context"])
        .to(kept.is_a?(Regexp) ? match(kept) : eq(kept))
    end
  end

  it "records when to retry, and the application's code" do
    expect(report(TaskerCore::RetryableError.new("busy", retry_after: "30"))["retry_after_s"]).to eq(30.0)
    [TaskerCore::RetryableError, TaskerCore::PermanentError, TaskerCore::BlockedError].each do |type|
      expect(report(type.new("stolen", error_code: :CARD))["code"]).to eq("CARD")
      expect(report(type.new("stolen"))["code"]).to be_nil
    end
  end

  {
    "raises" => -> { raise "no" }, "is no number" => -> { "soon?" }, "is not finite" => -> { Float::NAN }
  }.each do |what, method|
    it "is made although a subclass's retry_after_seconds #{what}" do
      odd = Class.new(TaskerCore::RetryableError) { define_method(:retry_after_seconds) { |**| method.call } }

      expect(report(odd.new("busy"))).to include("kind" => "retryable", "message" => "busy")
    end
  end

  it "records what was behind it, innermost last" do
    error = begin
      begin
        raise KeyError, "inner"
      rescue KeyError
        raise "middle"
      end
    rescue RuntimeError
      raised(ArgumentError.new("outer"))
    end

    expect(JSON.parse(described_class.json(error))["causes"])
      .to eq([{ "class" => "RuntimeError", "message" => "middle" }, { "class" => "KeyError", "message" => "inner" }])
  end

  it "records five exceptions behind it at most" do
    error = (1..9).inject(nil) do |cause, number|
      raise "e#{number}", cause: cause
    rescue RuntimeError => e
      e
    end

    expect(JSON.parse(described_class.json(error))["causes"].map { |cause| cause["message"] }).to eq(%w[e8 e7 e6 e5 e4])
  end

  it "cuts a long message and a long backtrace" do
    error = RuntimeError.new("é" * 5_000)
    error.set_backtrace(Array.new(200) { |i| "#{"x" * 1_000}:#{i}" })
    parsed = JSON.parse(described_class.json(error))

    expect(parsed["message"].bytesize).to be_between(4_000, 4_096)
    expect(parsed["message"]).to end_with("é...")
    expect([parsed["backtrace"].size, parsed["backtrace"].map(&:bytesize).max]).to eq([50, 512])
  end

  it "keeps texts and a context that are just as long as they may be" do
    named = lambda { |bytes|
      Class.new(TaskerCore::BlockedError) { define_singleton_method(:name) { "C" * bytes } }
    }
    given = lambda { |bytes|
      error = named[bytes].new("m" * (3_584 + bytes), error_code: "c" * bytes,
                                                      context: { "a" => "x" * (15_872 + bytes - 8) })
      error.set_backtrace(["l" * bytes])
      JSON.parse(described_class.json(error)).values_at("class", "message", "code", "context", "backtrace").flatten
    }
    fits = given[512]
    beyond = given[513]
    expect(fits).to eq(["C" * 512, "m" * 4_096, "c" * 512, { "a" => "x" * 16_376 }, "l" * 512])
    expect(beyond.map(&:bytesize)).to eq([512, 4_096, 512, 16_384, 512])
    expect(beyond).to all(end_with("..."))
  end

  ["\xFF bad", "\xFF".b, "nul \0 inside", "\u00e9".encode("UTF-16LE")].each do |message|
    it "writes the message #{message.inspect} as UTF-8 that Postgres can keep" do
      text = report(RuntimeError.new(message))["message"]

      expect(text).to be_valid_encoding
      expect(text.delete("\0")).to eq(text).and(satisfy { |kept| !kept.empty? })
    end
  end

  it "survives an exception whose message fails or is no text" do
    failing = Class.new(RuntimeError) { def message = raise("no") }
    other = Class.new(RuntimeError) { def message = nil }

    expect(report(failing.new)["message"]).to eq("(the message cannot be read: RuntimeError)")
    expect(report(other.new)["message"]).to eq("")
  end

  it "names the nearest class that has a name" do
    expect(report(Class.new(Class.new(KeyError)).new("x"))["class"]).to eq("KeyError")
  end

  it "has no backtrace for an exception that was never raised" do
    expect(JSON.parse(described_class.json(RuntimeError.new("x")))["backtrace"]).to eq([])
  end

  it "says class and message on one line" do
    expect(described_class.line(RuntimeError.new("no\nroute"))).to eq("RuntimeError: no")
  end
end
