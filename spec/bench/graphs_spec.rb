# frozen_string_literal: true

require_relative "../../bench/engine/graphs"

RSpec.describe Bench::Graphs do
  it "makes small graphs as their names say" do
    expect(described_class.independent(2)).to eq("s0" => [], "s1" => [])
    expect(described_class.line(3)).to eq("s0" => [], "s1" => ["s0"], "s2" => ["s1"])
    expect(described_class.fan(4)).to eq("s0" => [], "s1" => ["s0"], "s2" => ["s0"], "s3" => %w[s1 s2])
    expect(described_class.mapped(4)).to eq("s2" => [], "s3" => [], "s0" => %w[s2 s3], "s1" => ["s0"])
  end

  it "makes layers of one width, with two parents a step in graphs of any size" do
    expect(described_class.woven(20).values_at("s1", "s2", "s3", "s19")).to eq([[], %w[s0 s1], %w[s1 s0], %w[s17 s16]])
    expect([100, 1_000, 25].map { |steps| described_class.woven(steps).sum { |_, parents| parents.size } })
      .to eq([180, 1_800, 44])
  end

  [1, 2, 12, 1000].each do |steps|
    it "makes a random graph of #{steps} steps in layers, the same each time" do
      graph = described_class.layered(steps)
      expect([graph.size, described_class.layered(steps)]).to eq([steps, graph])
      width = Integer.sqrt(steps - 1) + 1
      graph.drop(width).each do |name, parents|
        layer = name.delete("s").to_i / width
        layers = parents.map { |parent| parent.delete("s").to_i / width }
        expect([parents.size, layers.max]).to match([be_between(1, 3), layer - 1])
      end
      expect(graph.first(width).map(&:last).uniq).to eq([[]])
    end
  end
end
