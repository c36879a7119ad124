# frozen_string_literal: true

# The small benches: each measures one layer without the others. BENCH holds arguments, as `--steps 50000`.
namespace :bench do
  arguments = ENV.fetch("BENCH", "").split

  desc "Measure decisions and graphs: ns per edge, by size of task"
  task :core do
    sh "cargo", "bench", "--locked", "--bench", "decide", "--bench", "graph", "--", *arguments
  end

  { boundary: "calls from Ruby to Rust, and the round trip of a step",
    feed: "how many events a second a feed gives out",
    overhead: "a step's cost beyond its handler's" }.each do |name, what|
    desc "Measure #{what}"
    task name => :compile do
      ruby "bench/#{name}.rb", *arguments
    end
  end
end
