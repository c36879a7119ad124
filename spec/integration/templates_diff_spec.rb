# frozen_string_literal: true

require "tmpdir"

RSpec.describe "What a change of a template means", :database do
  include Workflows
  include CommandLine

  before do
    handler("Any") { nil }
    handler("Other") { nil }
    TaskerCore.define("order", version: "1.0.0") do
      step "check", handler: "Any"
      step "print", handler: "Any", depends_on: "check"
      step "ship", handler: "Any", depends_on: "print", retry_limit: 3
    end
    TaskerCore.define("order", version: "1.1.0", description: "without paper") do
      step "check", handler: "Any"
      step "ship", handler: "Other", depends_on: "check", retry_limit: 5
    end
    TaskerCore.templates.each { |template| TaskerCore.client.register(template) }
  end

  def compare(**options)
    TaskerCore.client.compare_templates("order", **options)
  end

  it "is told by steps, keys and edges" do
    report = compare(from: "1.0.0", to: "1.1.0")
    expect(report).to include("namespace" => "default", "from" => "1.0.0", "to" => "1.1.0", "same" => false)
    diff = report["diff"]
    expect(diff["removed"]).to eq([{ "name" => "print", "handler_class" => "Any" }])
    expect(diff["keys"].first).to include("key" => "description", "to" => "without paper")
    keys = diff["changed"].first["keys"].map { |key| key.values_at("key", "from", "to") }
    expect(keys).to eq([["default_retry_limit", 3, 5], %w[handler_class Any Other]])
    expect(diff.values_at("edges_added", "edges_removed")).to eq([[%w[check ship]], [%w[check print], %w[print ship]]])
    expect(report["live"]).to eq("count" => 0, "oldest_at" => nil, "task_ids" => [], "broken" => [])
    expect(compare(from: "1.0.0", to: "1.0.0")).to include("same" => true)
  end

  it "is told by the tasks that have not ended and what they have still to run" do
    first, second, ended = TaskerCore.submit_all("order", version: "1.0.0", contexts: [{}, {}, {}])
    TaskerCore.resolve(second, "check")
    TaskerCore.resolve(second, "print")
    TaskerCore.cancel(ended)
    live = compare(from: "1.0.0", to: "1.1.0")["live"]
    expect(live).to include("count" => 2, "task_ids" => [first, second])
    expect(live["broken"].map { |step| step.values_at("step", "why", "tasks", "task_ids") }).to eq(
      [["print", "removed", 1, [first]], ["ship", "handler_changed", 2, [first, second]]]
    )
    expect(compare(from: "1.1.0", to: "1.0.0")["live"]).to include("count" => 0)
  end

  it "takes a template that is not in the database yet, against the highest version there" do
    template = TaskerCore::TaskTemplate.new(
      { "name" => "order", "version" => "2.0.0",
        "step_templates" => [{ "name" => "check", "handler_class" => "Any" }] },
      source: "here"
    )
    report = TaskerCore.client.compare_templates(template: template)
    expect(report).to include("from" => "1.1.0", "to" => "2.0.0")
    expect(TaskerCore.client.templates.size).to eq(2)
  end

  it "is refused where there is no such version" do
    expect { compare(from: "1.0.0", to: "3.0.0") }
      .to raise_error(TaskerCore::UnknownTemplate, /order version 3\.0\.0.*version 1\.0\.0/)
    expect { compare(from: "1.0.0") }.to raise_error(TaskerCore::InvalidArgument, /one of to and template/)
    expect { TaskerCore.client.compare_templates(to: "1.0.0") }.to raise_error(TaskerCore::InvalidArgument, /name/)
  end

  it "is a command" do
    TaskerCore.submit("order", version: "1.0.0")
    shown = tasker("templates", "diff", "order", "1.0.0", "1.1.0")
    expect(shown.status).to eq(1)
    expect(shown.out.lines.map(&:strip)).to include(
      "order 1.0.0 -> 1.1.0", "- step print (Any)", "~ step ship", "default_retry_limit: 3 -> 5",
      "+ edge check -> ship", a_string_matching(/\A1 unfinished task of 1\.0\.0, the oldest requested .* ago: 1\z/),
      "1 task with the step print (Any) still to run, which is not in 1.1.0: 1"
    )
    expect(tasker("templates", "diff", "order", "1.0.0", "1.0.0")).to have_attributes(status: 0, out: /nothing differs/)
    expect(tasker("templates", "diff", "order", "1.1.0", "1.0.0", "--json").json["diff"]["added"].size).to eq(1)
  end

  it "is a command for files" do
    Dir.mktmpdir do |folder|
      file = File.join(folder, "order.yaml")
      File.write(file, "name: order\nversion: 1.2.0\nstep_templates: [{name: look, handler_class: Any}]\n")
      expect(tasker("templates", "diff", file).out).to include("order 1.1.0 -> 1.2.0", "> step check is probably look")
      expect(tasker("templates", "diff", file, "1.0.0").out).to include("order 1.0.0 -> 1.2.0", "- step ship (Any)")
      wrong = [[file, "1.0.0", "1.1.0"], [file, "--namespace", "x"], %w[order 1.0.0], [File.join(folder, "none.yaml")]]
      expect(wrong.map { |words| tasker("templates", "diff", *words).status }).to eq([2, 2, 2, 2])
    end
  end
end
