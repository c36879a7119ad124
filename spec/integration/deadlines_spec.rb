# frozen_string_literal: true

RSpec.describe "Deadlines", :database do
  include CommandLine
  include Workflows

  # What nobody ever makes.
  let(:file) { File.join(@folder, "never") }
  let(:workflow) { File.join(CommandLine::ROOT, "spec/fixtures/workflows.rb") }

  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  before { load workflow }

  it "end a task in time, whatever it does and whichever of two worker processes sees it" do
    in_two_processes(workflow) do
      late = TaskerCore.submit("hold", context: { file: file }, deadline: 1)
      paused = TaskerCore.submit("echo", deadline: 0.5).tap { |id| TaskerCore.pause(id) }
      in_time = TaskerCore.submit("echo", deadline: 300)

      expect([late, paused].map { |id| TaskerCore.wait(id, timeout: 30).state }).to eq(%w[cancelled cancelled])
      expect(TaskerCore.wait(in_time, timeout: 30)).to be_complete.and have_attributes(deadline_at: be_a(Time))
      explained = TaskerCore.explain(late)
      expect(explained["summary"]).to match(/\Acancelled by its deadline, \S+ \(\S+ \S+ ago\): 0 of 1 steps/)
      expect(explained["steps"].first["summary"])
        .to eq("its task was cancelled by its deadline while attempt 1 ran, which was cut off")
      expect(explained["history"].last["cause"]).to eq("deadline_passed")
    end
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "come from the template, unless the submit says another" do
    handler("Any") { 1 }
    TaskerCore.define("hurried", deadline: 60) { step "only", handler: "Any" }
    given = [TaskerCore.submit("hurried"), TaskerCore.submit("hurried", deadline: 7.5)].map do |id|
      TaskerCore.status(id).then { |status| status.deadline_at - status.requested_at }
    end
    expect(given).to eq([60.0, 7.5])
    expect(TaskerCore.explain(TaskerCore.submit("hurried"))["summary"]).to match(/; it is cancelled at 20\S+ \(in 6?\d/)
  end

  it "are asked for and shown by the command" do
    outcome = tasker("submit", "hold", "-r", workflow, "--context", JSON.generate(file: file), "--deadline", "3600")
    id = outcome.out[/task (\d+) submitted/, 1]
    expect(tasker("status", id).out).to match(/^deadline: +20\S+ .* \(in 59 min|^deadline: +20\S+ .* \(in 1 h/)
    refused = tasker("submit", "hold", "--deadline", "0")
    expect([refused.status, refused.err]).to match([2, /deadline is 0.0, allowed: nil or a number of seconds above 0/])
  end

  it "are checked when a template is loaded" do
    expect { TaskerCore.define("never", deadline: 0) { step "only", handler: "Any" } }
      .to raise_error(TaskerCore::InvalidTemplate, /deadline is 0; allowed: .*at most 31622400/)
  end
end
