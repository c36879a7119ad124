# frozen_string_literal: true

require "stringio"
require "tasker_core/cli"

RSpec.describe TaskerCore::CLI do
  let(:out) { StringIO.new }
  let(:err) { StringIO.new }

  def tasker(*argv)
    described_class.start(argv, out: out, err: err, input: StringIO.new, env: {})
  end

  [[], ["help"], ["--help"], ["-h"]].each do |argv|
    it "shows the overview for `tasker #{argv.join(" ")}`" do
      expect(tasker(*argv)).to eq(0)
      expect(out.string.scan(/^  (\w+(?: \w+)?)  /).flatten).to include(*described_class::COMMANDS.keys)
    end
  end

  it "documents every exit status" do
    tasker("help")
    expect(out.string[/^Exit status:\n.*?\n\n/m].scan(/^  (\d+) /).flatten).to eq(%w[0 1 2 130])
  end

  it "says its version" do
    expect([tasker("--version"), out.string]).to eq([0, "tasker_core #{TaskerCore::VERSION}\n"])
  end

  TaskerCore::CLI::COMMANDS.each do |name, command|
    [[*name.split, "--help"], ["help", *name.split]].each do |argv|
      it "answers `tasker #{argv.join(" ")}` with usage, options and an example" do
        expect(tasker(*argv)).to eq(0)
        expect(out.string).to match(/\AUsage: tasker #{name}.*Options:\n.*--database-url.*Examples:\n    .*tasker/m)
      end
    end

    it "keeps the help of `tasker #{name}` within a terminal of 120 columns" do
      tasker(*name.split, "--help")
      expect(out.string.lines.map { |line| line.chomp.length }.max).to be <= 120
    end

    it "has a summary of `tasker #{name}` that fits into the overview" do
      expect(command::SUMMARY).to match(/\A[a-z].{5,70}[^.]\z/)
    end
  end

  {
    %w[stauts 1] => "unknown command \"stauts\"; did you mean \"status\"?",
    %w[zzz] => "unknown command \"zzz\"",
    %w[templates vaildate x] => "unknown command \"templates vaildate\"; did you mean \"templates validate\"?",
    %w[--verison] => "unknown option \"--verison\"; did you mean \"--version\"?",
    %w[--json list] => "unknown option \"--json\"; those of a command stand behind it: tasker COMMAND [options]",
    %w[help nonsense] => "unknown command \"nonsense\"",
    %w[status] => "missing ID",
    %w[status x] => "task_id is \"x\", allowed: a whole number from 1 to 9223372036854775807",
    %w[list --limit 0] => "--limit must be from 1 to 1000, got 0",
    %w[list --state nowhere] => "invalid argument: --state nowhere; allowed: pending, in_progress, waiting, blocked, " \
                                "paused, complete, error, cancelled, resolved_manually",
    %w[retry --all --state complete] => "invalid argument: --state complete; allowed: error, blocked",
    %w[budget 1 --attempts x] => "invalid argument: --attempts x; allowed: a whole number",
    %w[submit a --max-cost x] => "invalid argument: --max-cost x; allowed: a number",
    %w[failures --before x] => "invalid argument: --before x; allowed: a whole number",
    %w[work -r x.rb -c x] => "invalid argument: -c x; allowed: a whole number",
    %w[retry --where x] => "invalid option: --where; --all means all that options such as --name, --state and --tag " \
                           "describe",
    %w[signal 43 go --key x] => "unexpected argument \"43\": --key stands in the place of ID",
    %w[signal 43 go 7 --key x] => "unexpected argument \"43\": --key stands in the place of ID",
    %w[signal go 7 8 --key x] => "unexpected argument \"8\"",
    %w[migrate --to -1] => "--to must be a version from 0, got -1",
    %w[migrate --to 99999999999] => "--to must be a version from 0, got 99999999999",
    %w[db explode] => "unknown action \"explode\"",
    %w[db strat] => "unknown action \"strat\"; did you mean \"start\"?",
    %w[work] => "missing -r FILE: it loads the handlers and templates",
    %w[work -r x.rb -p 0] => "--processes must be from 1 to 1000, got 0",
    %w[work -r x.rb --hang-timeout 0.5] => "--hang-timeout must be from 1 to 31536000 seconds, got 0.5",
    %w[work -r x.rb -c 0] => "concurrency is 0, allowed is a whole number from 1 to 1000",
    %w[work -r /no/such/file.rb] => "-r /no/such/file.rb: there is no such file or folder",
    %w[submit a --timeout 3] => "--timeout needs --wait",
    %w[submit a --wait --timeout -3] => "--timeout must be a number of seconds from 0, got -3.0",
    ["submit", "a", "--context", "[1]"] => "--context must be a JSON object, got [1]",
    ["submit", "a", "--context", "{\"a\":\"\xFF\"}"] => "argument \"{\\\"a\\\":\\\"\\xFF\\\"}\" is not UTF-8",
    ["submit", "a", "--context", "@/no/such"] => "--context @/no/such cannot be read: No such file or directory",
    %w[submit a --context @/dev/null] => "--context @/dev/null is empty; allowed: JSON, for instance {}",
    %w[submit a --context -] => "--context - (standard input) is empty; allowed: JSON, for instance {}",
    %w[fork 1 a --context null] => "--context must be a JSON object, got null",
    %w[prune --older-than 36501d] =>
      "--older-than is \"36501d\"; allowed: a whole number and a unit: s, m (minutes), h, d or w, for instance 30d, " \
      "at most 36500d",
    ["submit", "a", "--context", "{\"a\":#{"[" * 100}#{"]" * 100}}"] =>
      "--context is nested deeper than the 100 levels allowed"
  }.each do |argv, message|
    it "refuses `tasker #{argv.join(" ")[0, 60].scrub}` with exit status 2" do
      expect([tasker(*argv), err.string.lines.first&.chomp, out.string]).to eq([2, "tasker: #{message}", ""])
    end
  end

  it "refuses a context that is not JSON" do
    expect(tasker("submit", "a", "--context", "{oops")).to eq(2)
    expect(err.string).to match(/\Atasker: --context is not JSON: .*\n  see: tasker submit --help\n\z/)
  end

  it "lists the commands of a group" do
    expect(tasker("templates")).to eq(0)
    expect(out.string).to include("templates list", "templates validate")
  end
end
