# frozen_string_literal: true

RSpec.describe "examples/large_graph/generate" do
  include CommandLine

  def generate(*options)
    run_program(RbConfig.ruby, "-w", "examples/large_graph/generate", *options)
  end

  # Seconds on the longest path; fails on a parent that stands after its child.
  def critical_path(tasks)
    ends = {}
    tasks.each do |task|
      ends[task["id"]] = task["runtime_s"] + task["parents"].map { |parent| ends.fetch(parent) }.max.to_f
    end
    ends.values.max
  end

  { "cholesky" => [17, 969], "wavefront" => [32, 1024], "map_reduce" => [31, 994] }.each do |shape, (tiles, steps)|
    it "makes a #{shape} graph of #{steps} steps, parents first, some seconds of work with a short critical path" do
      tasks = generate("--shape", shape, "--tiles", tiles.to_s).json["tasks"]
      expect(tasks.map { |task| task["id"] }.uniq.size).to eq(steps)
      expect([tasks.sum { |task| task["runtime_s"] }, critical_path(tasks)]).to match([be_between(5, 60), be < 2])
    end

    it "makes the smallest #{shape} graph" do
      expect(generate("--shape", shape, "--tiles", "1").json["tasks"].size).to be_between(1, 4)
    end
  end

  it "knows what a tile of the factorisation reads" do
    parents = generate("--tiles", "3").json["tasks"].to_h { |task| task.values_at("id", "parents") }
    expect(parents["gemm(2,1)@0"]).to contain_exactly("trsm(2,0)@0", "trsm(1,0)@0")
    expect(parents["trsm(2,1)@1"]).to contain_exactly("potrf(1,1)@1", "gemm(2,1)@0")
    expect(parents["potrf(2,2)@2"]).to eq(["syrk(2,2)@1"])
  end

  it "gives the same bytes each time, one task a line" do
    outputs = Array.new(2) { generate.out }
    expect([outputs.uniq.size, outputs.first.lines.size]).to eq([1, 969 + 5])
  end

  [%w[--tiles 0], %w[--tiles 101], %w[--tiles many], %w[--shape cube], %w[--colour=red], %w[more]].each do |options|
    it "refuses #{options.join(" ")}" do
      outcome = generate(*options)
      expect([outcome.status, outcome.out, outcome.err]).to match([2, "", /\Agenerate: .*#{options.last}/])
    end
  end
end
