# frozen_string_literal: true

require "stringio"
require "tasker_core/cli/output"
require "tasker_core/cli/progress"
require "tasker_core/task_status"

RSpec.describe TaskerCore::CLI::Progress do
  let(:out) { StringIO.new }
  let(:time) { [0.0] }

  def status(state, by_state)
    TaskerCore::TaskStatus.new({ "state" => state, "steps_total" => by_state.values.sum, "steps_by_state" => by_state })
  end

  # A progress whose clock goes on by what it pauses.
  def progress(**options)
    output = TaskerCore::CLI::Output.new(out: out, env: {})
    described_class.new(output, clock: -> { time[0] }, pause: ->(seconds) { time[0] += seconds }, **options)
  end

  it "asks until the task is over and gives the last status" do
    statuses = [status("pending", "pending" => 2), status("in_progress", "complete" => 1, "pending" => 1),
                status("complete", "complete" => 2)]
    expect(progress.follow { statuses.shift }.state).to eq("complete")
    expect(statuses).to be_empty
  end

  %w[complete error cancelled resolved_manually blocked].each do |state|
    it "stops at #{state}" do
      expect(progress.follow { status(state, state => 1) }.state).to eq(state)
    end
  end

  %w[pending in_progress waiting paused].each do |state|
    it "goes on at #{state} until the time runs out" do
      expect(progress.follow(timeout: 3) { status(state, "pending" => 1) }.state).to eq(state)
      expect(time[0]).to be_between(3, 3.3)
    end
  end

  it "looks once when there is no time at all" do
    looks = 0
    progress.follow(timeout: 0) { (looks += 1) && status("pending", "pending" => 1) }
    expect(looks).to eq(1)
  end

  it "writes a line every two seconds where there is no terminal, and one at the end" do
    progress.follow(timeout: 7) { status("in_progress", "pending" => 1) }
    expect(out.string.lines.size).to eq(4)
  end

  it "writes nothing when it is to be quiet" do
    progress(quiet: true).follow(timeout: 7) { status("in_progress", "pending" => 1) }
    expect(out.string).to be_empty
  end

  it "shows bar, number, rate and the states that are not complete" do
    running = status("in_progress", "complete" => 500, "error" => 100, "enqueued" => 600)
    line = progress(title: "graph").text(running, 2.0)
    expect(line).to eq("graph  ██████████████░░░░░░░░░░░░░░  600 of 1,200 steps  300/s  ✗ 100  ○ 600")
  end

  it "ends the line when it is interrupted" do
    out.define_singleton_method(:tty?) { true }
    statuses = [status("in_progress", "pending" => 1)]
    expect { progress.follow { statuses.shift || raise(Interrupt) } }.to raise_error(Interrupt)
    expect(out.string).to end_with("\n")
  end

  it "draws in place on a terminal and ends the line" do
    out.define_singleton_method(:tty?) { true }
    statuses = [status("in_progress", "pending" => 1), status("complete", "complete" => 1)]
    progress.follow { statuses.shift }
    expect(out.string).to match(/\A\r\e\[K.*0 of 1 step.*\r\e\[K.*1 of 1 step.*\n\z/m)
  end
end
