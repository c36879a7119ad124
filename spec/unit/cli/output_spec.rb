# frozen_string_literal: true

require "json"
require "stringio"
require "tasker_core/cli/output"

RSpec.describe TaskerCore::CLI::Output do
  let(:out) { StringIO.new }
  let(:err) { StringIO.new }
  let(:output) { described_class.new(out: out, err: err, env: {}) }

  # A stream that says it is a terminal of this width.
  def terminal(columns)
    StringIO.new.tap do |stream|
      stream.define_singleton_method(:tty?) { true }
      stream.define_singleton_method(:winsize) { [24, columns] }
    end
  end

  it "aligns the columns of a table, numbers at the right" do
    output.table(%w[ID NAME STEPS], [[7, "a", 5], [12, "longer", 1000]], right: [0, 2])
    expect(out.string).to eq("ID  NAME    STEPS\n 7  a           5\n12  longer   1000\n")
  end

  it "does not count colours as width" do
    stream = terminal(80)
    described_class.new(out: stream, env: {}).table(%w[STATE NAME], [["\e[32mok\e[0m", "a"], %w[failed b]])
    expect(stream.string.gsub(/\e\[\d+m/, "")).to eq("STATE   NAME\nok      a\nfailed  b\n")
  end

  it "cuts a row to the terminal's width" do
    stream = terminal(20)
    described_class.new(out: stream, env: { "NO_COLOR" => "1" }).table(%w[A B], [["abc", "x" * 40]])
    expect(stream.string.lines.last.chomp).to eq("abc  xxxxxxxxxxxx...")
  end

  it "cuts a coloured row by what is seen of it, and ends the colour" do
    stream = terminal(10)
    described_class.new(out: stream, env: {}).table(%w[A], [["\e[32m#{"x" * 40}\e[0m"]])
    expect(stream.string.lines.last.chomp).to eq("\e[32m#{"x" * 7}\e[0m...")
  end

  it "redraws a line without going beyond the terminal" do
    stream = terminal(10)
    described_class.new(out: stream, env: {}).redraw("y" * 40)
    expect(stream.string).to eq("\r\e[K#{"y" * 7}...")
  end

  it "writes whole rows where there is no terminal" do
    output.table(%w[A B], [["abc", "x" * 400]])
    expect(out.string.lines.last).to end_with("#{"x" * 400}\n")
  end

  it "writes names and values aligned and leaves out what is not there" do
    output.pairs("state" => "complete", "reason" => nil, "attempts" => 7)
    expect(out.string).to eq("state:    complete\nattempts: 7\n")
  end

  it "writes JSON that reads back" do
    output.json("a" => [1, nil, "ü"])
    expect(JSON.parse(out.string)).to eq("a" => [1, nil, "ü"])
  end

  it "keeps notes away from results" do
    output.note("beside")
    expect([out.string, err.string]).to eq(["", "beside\n"])
  end

  it "tells no password of a URL in a note" do
    output.note("unknown command \"postgres://shop:s3c@ret@db/shop\"\n  mail me@shop")
    expect(err.string).to eq("unknown command \"postgres://shop:***@db/shop\"\n  mail me@shop\n")
  end

  {
    "a terminal" => [{}, true], "a terminal with NO_COLOR" => [{ "NO_COLOR" => "1" }, false],
    "a terminal with an empty NO_COLOR" => [{ "NO_COLOR" => "" }, true],
    "a dumb terminal" => [{ "TERM" => "dumb" }, false]
  }.each do |name, (env, coloured)|
    it "#{coloured ? "uses" : "uses no"} colours on #{name}" do
      style = described_class.new(out: terminal(80), env: env).style
      expect(style.mark(true).include?("\e[")).to be(coloured)
    end
  end

  it "uses no colours in a file" do
    expect(output.style.mark(true)).not_to include("\e[")
  end
end
