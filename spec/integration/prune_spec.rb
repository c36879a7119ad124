# frozen_string_literal: true

RSpec.describe "pruning", :database do
  include CommandLine
  include Workflows

  def finish(number, &process)
    define_one(&(process || proc {}))
    tasks = Array.new(number) { TaskerCore.submit("one") }
    working { tasks.each { |task| TaskerCore.wait(task, timeout: Workflows::PATIENCE_SECONDS) } }
    tasks
  end

  def age(task_ids, interval)
    sql(<<~SQL, "{#{task_ids.join(",")}}", interval)
      UPDATE tasker_tasks SET requested_at = requested_at - $2::interval, started_at = started_at - $2::interval,
                              finished_at = finished_at - $2::interval
      WHERE task_id = ANY ($1::bigint[])
    SQL
  end

  it "deletes what is older than an age, and says how much it was" do
    age(finish(3).first(2), "31 days")
    outcomes = [%w[--dry-run], %w[], %w[]].map { |words| tasker("prune", "--older-than", "30d", *words) }
    expect(outcomes.map(&:err) + outcomes.map(&:status)).to eq(["", "", "", 0, 0, 0])
    expect(outcomes.map(&:out)).to match(["would delete 2 tasks with 2 steps\n",
                                          /\Adeleted 2 tasks with 2 steps \(\d+ rows\), 0 worker records\n\z/,
                                          "nothing to delete\n"])
    expect(count("tasker_tasks")).to eq(1)
  end

  it "keeps tasks in error unless it is told how old they may be" do
    finish(1) { raise TaskerCore::PermanentError, "no" }
    reports = %w[--older-than --errors-older-than].map { |option| tasker("prune", option, "0s", "--json").json }
    expect(reports.map { |report| report.values_at("tasks", "steps", "workers", "dry_run") })
      .to eq([[0, 0, 0, false], [1, 1, 0, false]])
    expect(count("tasker_workflow_step_transitions")).to eq(0)
  end

  it "tells how far it is, about once a second" do
    finish(1)
    native = TaskerCore.client.send(:native)
    some = { "tasks" => 1, "steps" => 2, "rows" => 3, "workers" => 0, "next" => 7 }
    allow(native).to receive(:prune).and_return(JSON.generate(some), JSON.generate(some.merge("next" => nil)))
    told = []
    report = TaskerCore.prune(older_than: 0) { |so_far| told << so_far }
    expect([told.size, told.first["rows"], report["rows"], report["tasks"]]).to eq([1, 3, 6, 2])
    expect(native).to have_received(:prune).with(include("\"from\":7"))
  end

  it "is done by workers, as long after the end as they are told" do
    define_one { nil }
    working(retention: 0, error_retention: nil) do
      TaskerCore.submit("one")
      wait_until("the task is gone") { count("tasker_tasks").zero? && count("tasker_workflow_steps").zero? }
    end
  end

  { %w[] => /missing --older-than AGE or --errors-older-than AGE/, %w[--older-than 30] => /is "30"; allowed: a whole/,
    %w[--older-than 1000000w] => /is "1000000w"; allowed: a whole number .*, at most 36500d/ }.each do |words, message|
    it "refuses #{words.empty? ? "no age" : words.last}" do
      outcome = tasker("prune", *words)
      expect([outcome.status, outcome.out, outcome.err]).to match([2, "", message])
    end
  end

  { %w[--retention 14] => /--retention is "14"; allowed: a whole number and a unit/,
    %w[--error-retention never] => /--error-retention is "never"/ }.each do |words, message|
    it "refuses to work with #{words.join(" ")}" do
      outcome = tasker("work", "-r", "none.rb", *words)
      expect([outcome.status, outcome.err]).to match([2, message])
    end
  end
end
