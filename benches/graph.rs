//! How long it takes to build and check the graph of a task, by its steps.

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use tasker_core::graph::Graph;

/// Steps of a layer at most.
const WIDTH: u32 = 250;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    build(&mut criterion);
    criterion.final_summary();
}

/// Names are looked up and cycles searched for: the cost of a template, per edge.
fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("graph/build");
    group.sample_size(10);
    for steps in support::sizes() {
        let edges = support::edges(steps, WIDTH.min(steps / 2));
        let names: Vec<_> = (0..steps).map(|step| format!("step_{step}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        group.throughput(Throughput::Elements(edges.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(steps), |bencher| {
            bencher.iter(|| Graph::build(black_box(&names), black_box(&edges)).expect("no cycle"));
        });
    }
    group.finish();
}
