# frozen_string_literal: true

require_relative "../../bench/engine/settings"
require_relative "../../bench/engine/workload"
require_relative "../../bench/peers/job_check"

RSpec.describe Bench::JobCheck do
  # Two tasks of a step, two after it, and one after those.
  jobs = [0, 1].flat_map do |task|
    [["s0", 10, 20], ["s1", 20, 31], ["s2", 21, 30], ["s3", 31, 40]].map { |job| [task, *job] }
  end

  def problems(jobs)
    workload = Bench::Workload.find("diamond")
    described_class.new(Bench::Settings.new(workload: workload, tasks: 2, steps: 4), jobs).problems
  end

  it "finds nothing where each job was executed once, after those that it depends on" do
    expect(problems(jobs.shuffle(random: Random.new(1)))).to eq([])
  end

  { "a job that is missing" => [jobs[0..-2], "once: 1 are not, for instance step s3 of task 1 was executed 0 times"],
    "a job that is doubled" =>
      [jobs + [jobs[1]], "once: 1 are not, for instance step s1 of task 0 was executed 2 times"],
    "a job that nobody asked for" =>
      [jobs + [[2, "s0", 1, 2]], "once: 1 are not, for instance step s0 of task 2 was executed 1 times"],
    "a job that began too early" =>
      [jobs[0..-2] + [[1, "s3", 30, 40]],
       "after their parents: 1 are not, for instance step s3 of task 1 began before step s1 had ended"] }
    .each do |what, (wrong, message)|
    it "finds #{what}" do
      expect(problems(wrong)).to eq(["jobs are executed #{message}"])
    end
  end
end
