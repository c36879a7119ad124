# frozen_string_literal: true

require "stringio"
require "tasker_core/cli"

RSpec.describe TaskerCore::CLI::Command do
  let(:out) { StringIO.new }

  # A command that remembers what it was called with.
  let(:type) do
    Class.new(described_class) do
      attr_reader :called, :options

      def call(*arguments)
        @called = arguments
        7
      end

      private

      def define_options(parser)
        parser.on("--reason TEXT", "why (default: none)")
        parser.on("--limit N", Integer, "how many (default: 20)")
        json_option(parser)
        require_option(parser)
      end
    end
  end

  before do
    type.const_set(:NAME, "probe")
    type.const_set(:SUMMARY, "try something")
    type.const_set(:ARGUMENTS, %w[ID [STEP]])
    type.const_set(:EXAMPLES, ["tasker probe 1"])
  end

  def command
    @command ||= type.new(output: TaskerCore::CLI::Output.new(out: out, env: {}))
  end

  def refusal(*argv)
    command.run(argv)
  rescue TaskerCore::CLI::UsageError => e
    [e.message, e.see]
  end

  it "passes the arguments on and gives the status back" do
    expect([command.run(%w[42 charge_card]), command.called]).to eq([7, %w[42 charge_card]])
  end

  it "takes options before and after the arguments" do
    command.run(%w[--limit 3 42 --reason late --json])
    expect(command.options).to eq(limit: 3, reason: "late", json: true)
  end

  it "takes values of options behind an equals sign, whatever they hold" do
    command.run(["42", "--limit=-3", "--reason=", "limit=3"])
    expect([command.options, command.called]).to eq([{ limit: -3, reason: "" }, ["42", "limit=3"]])
    command.run(["42", "--reason=a=b --c"])
    expect(command.options[:reason]).to eq("a=b --c")
  end

  it "reads whole numbers as decimal ones" do
    command.run(%w[42 --limit 010])
    expect(command.options).to eq(limit: 10)
    expect { command.run(%w[42 --limit 0x10]) }.to raise_error(TaskerCore::CLI::UsageError, /allowed: a whole number/)
  end

  it "takes what follows -- as arguments" do
    command.run(%w[--limit 3 -- 42 --json])
    expect([command.called, command.options]).to eq([%w[42 --json], { limit: 3 }])
  end

  it "keeps each value of an option that is given again" do
    command.run(%w[1 -r a.rb --require b.yaml])
    expect(command.options[:require]).to eq(%w[a.rb b.yaml])
  end

  {
    [] => "missing ID",
    %w[1 a b] => "unexpected argument \"b\"",
    %w[1 --reson x] => "invalid option: --reson; did you mean --reason?",
    %w[1 --reaso x] => "invalid option: --reaso; did you mean --reason?",
    %w[1 --quark] => "invalid option: --quark",
    %w[1 --limit many] => "invalid argument: --limit many; allowed: a whole number",
    %w[1 --reason] => "missing argument: --reason",
    %w[1 --reson=x] => "invalid option: --reson=x; did you mean --reason?",
    %w[1 --limit=many] => "invalid argument: --limit many; allowed: a whole number",
    ["1", "\xFF"] => "argument \"\\xFF\" is not UTF-8"
  }.each do |argv, message|
    it "refuses #{argv.inspect} and says where help is" do
      expect(refusal(*argv)).to eq([message, "tasker probe --help"])
    end
  end

  it "knows none of the options that OptionParser adds by itself" do
    messages = %w[--version --*-completion-bash=x].map { |option| refusal("1", option).first }
    expect(messages).to all(start_with("invalid option: --"))
  end

  it "writes help with usage, summary, options with defaults and an example" do
    expect(command.run(%w[--help])).to eq(0)
    expect(out.string).to start_with("Usage: tasker probe ID [STEP] [options]\n\nTry something.\n\nOptions:\n")
    expect(out.string).to include("--limit N ", "how many (default: 20)", "Examples:\n    tasker probe 1")
  end

  it "does nothing but help when help is asked for" do
    command.run(%w[--help --limit 3])
    expect(command.called).to be_nil
  end

  describe "task ids" do
    %w[1 42 9223372036854775807].each do |text|
      it "reads #{text}" do
        expect(command.send(:id_from, text)).to eq(text.to_i)
      end
    end

    ["0", "-1", "abc", "", "1.5", "0x10", "1\n2", "9223372036854775808", "١"].each do |text|
      it "refuses #{text.inspect}" do
        expect { command.send(:id_from, text) }.to raise_error(TaskerCore::InvalidArgument, /\Atask_id is .*allowed/)
      end
    end
  end
end
