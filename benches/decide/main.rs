//! How long decisions take, in the batches in which a worker asks for them. An element is an edge of
//! the graph in `readiness`, a step in the others; the time per element must not depend on the size of
//! the task.

#[path = "../support/mod.rs"]
mod support;
mod world;

use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::DateTime;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use tasker_core::{Jitter, Observation, View, decide};
use world::World;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let worlds: Vec<_> = support::sizes().map(World::new).collect();
    readiness(&mut criterion, &worlds);
    claims(&mut criterion, &worlds);
    retries(&mut criterion, &worlds);
    criterion.final_summary();
}

/// A layer of steps completes at once; their children are counted down and claimed. `decide` is the
/// decision alone, `view_and_decide` has the making of its view in it.
fn readiness(criterion: &mut Criterion, worlds: &[World]) {
    let mut group = criterion.benchmark_group("readiness");
    for world in worlds {
        group.throughput(Throughput::Elements(world.edges()));
        measure(&mut group, "decide", world, |layer| {
            let (view, seen) = (world.completing(layer), world.successes(layer));
            timed(|| answer(&view, &seen))
        });
        measure(&mut group, "view_and_decide", world, |layer| {
            let seen = world.successes(layer);
            timed(|| answer(&world.completing(layer), &seen))
        });
    }
    group.finish();
}

/// A worker claims the steps of a layer.
fn claims(criterion: &mut Criterion, worlds: &[World]) {
    let mut group = criterion.benchmark_group("claim");
    for world in worlds {
        group.throughput(Throughput::Elements(world.steps()));
        measure(&mut group, "decide", world, |layer| {
            let (view, seen) = (world.enqueued(layer), world.claimed(layer));
            timed(|| answer(&view, &seen))
        });
    }
    group.finish();
}

/// Every attempt of a layer fails, and another one is scheduled.
fn retries(criterion: &mut Criterion, worlds: &[World]) {
    let mut group = criterion.benchmark_group("retry");
    for world in worlds {
        group.throughput(Throughput::Elements(world.steps()));
        measure(&mut group, "decide", world, |layer| {
            let (view, seen) = (world.failing(layer), world.failures(layer));
            timed(|| answer(&view, &seen))
        });
    }
    group.finish();
}

/// Reports what `decide_layer` says it took, summed over the layers of the world.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    world: &World,
    decide_layer: impl Fn(u32) -> Duration,
) {
    group.sample_size(10);
    group.bench_function(BenchmarkId::new(name, world.size()), |bencher| {
        bencher.iter_custom(|iterations| {
            (0..iterations).flat_map(|_| world.layers()).map(&decide_layer).sum()
        });
    });
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = black_box(run());
    let took = start.elapsed();
    drop(result);
    took
}

/// The answer, which must change every step of the view.
fn answer(view: &View, seen: &Observation) -> tasker_core::Decisions {
    let decisions =
        decide(black_box(view), seen, DateTime::UNIX_EPOCH, Jitter(1)).expect("legal changes");
    assert_eq!(decisions.steps.len(), view.steps.len());
    decisions
}
