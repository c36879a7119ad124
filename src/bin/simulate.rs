//! Runs the simulator (`tasker_core::simulation`) on seed after seed, on every core.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use tasker_core::simulation::{Guard, KNOWN_SEEDS, Report, difference, run, shortest};

const HELP: &str = "\
Usage: bin/simulate [options]

Runs workers on a simulated database, clock and network, with faults, and looks for broken invariants
(docs/invariants.md). Everything in a run follows from its seed: the same seed gives the same run, which is
checked for one seed of 100. Seeds that once broke an invariant are run first.

Options:
    --seeds N       seeds to run (default: 10000)
    --start S       the first of them (default: 0)
    --seconds T     go on for so long, whatever --seeds says
    --replay S      run one seed, and print the shortest history found that breaks an invariant
    --mutants       take each guard of the engine away, one at a time: every absence must be noticed within
                    --seeds seeds
    --without GUARD take this guard away in every run
    -h, --help      show this help

Exit status: 0 when no invariant was broken (--mutants: when every absence was noticed), else 1.

Examples:
    bin/simulate --seeds 100000
    bin/simulate --seconds 60 --start 1000000
    bin/simulate --replay 42
    bin/simulate --mutants
";

/// Of so many seeds one is run again, to see that it gives the same run.
const REPEATED: u64 = 100;

struct Options {
    seeds: u64,
    start: u64,
    seconds: Option<u64>,
    replay: Option<u64>,
    mutants: bool,
    without: Option<Guard>,
}

fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options {
        seeds: 10_000,
        start: 0,
        seconds: None,
        replay: None,
        mutants: false,
        without: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seeds") => options.seeds = parser.value()?.parse()?,
            Long("start") => options.start = parser.value()?.parse()?,
            Long("seconds") => options.seconds = Some(parser.value()?.parse()?),
            Long("replay") => options.replay = Some(parser.value()?.parse()?),
            Long("mutants") => options.mutants = true,
            Long("without") => options.without = Some(guard(&parser.value()?.string()?)?),
            Short('h') | Long("help") => return Ok(None),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn guard(name: &str) -> Result<Guard, String> {
    let names = || Guard::ALL.map(|guard| format!("{guard:?}")).join(", ");
    let named = Guard::ALL.into_iter().find(|guard| format!("{guard:?}") == name);
    named.ok_or_else(|| format!("--without is {name:?}; allowed: {}", names()))
}

/// What the seeds that were run came to.
#[derive(Default)]
struct Tally {
    runs: AtomicU64,
    tasks: AtomicU64,
    transitions: AtomicU64,
    broken: Mutex<Vec<Report>>,
}

impl Tally {
    fn add(&self, report: Report) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.tasks.fetch_add(report.tasks, Ordering::Relaxed);
        self.transitions.fetch_add(report.transitions, Ordering::Relaxed);
        if report.violation.is_some() {
            self.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(report);
        }
    }

    fn first_broken(self) -> Option<Report> {
        let broken = self.broken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        broken.into_iter().min_by_key(|report| report.seed)
    }
}

/// Runs seeds on all cores until one breaks an invariant.
fn run_all(options: &Options, without: Option<Guard>) -> Tally {
    let until = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let tally = Tally::default();
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let over = until.map_or(number >= options.seeds, |until| Instant::now() >= until);
            if over {
                return;
            }
            let seed = options.start.wrapping_add(number);
            let mut report = run(seed, without);
            if number.is_multiple_of(REPEATED) && without.is_none() {
                let another = |what| format!("the same seed gave another run: {what}");
                report.violation = report.violation.or_else(|| difference(seed).map(another));
            }
            if report.violation.is_some() {
                stop.store(true, Ordering::Relaxed);
            }
            tally.add(report);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    tally
}

fn simulate(options: &Options) -> bool {
    let began = Instant::now();
    let known = KNOWN_SEEDS.iter().map(|seed| run(*seed, options.without));
    if let Some(Report { seed, violation, .. }) = known.into_iter().find(|r| r.violation.is_some())
    {
        println!("seed {seed}, which is known: {}", violation.unwrap_or_default());
        return false;
    }
    let tally = run_all(options, options.without);
    let seconds = began.elapsed().as_secs_f64();
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let runs = count(&tally.runs);
    println!(
        "{runs} seeds from {} in {seconds:.1} s: {} tasks, {} transitions",
        options.start,
        count(&tally.tasks),
        count(&tally.transitions)
    );
    let Some(Report { seed, violation, .. }) = tally.first_broken() else {
        println!("no invariant was broken");
        return true;
    };
    println!("seed {seed}: {}", violation.unwrap_or_default());
    println!("{}", shortest(seed, options.without).unwrap_or_default());
    false
}

/// Every guard must be missed.
fn miss_all(options: &Options) -> bool {
    // An engine without a guard may panic, which is one way to be noticed.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = true;
    for guard in Guard::ALL {
        let tally = run_all(options, Some(guard));
        let runs = tally.runs.load(Ordering::Relaxed);
        let name = format!("{guard:?}");
        match tally.first_broken() {
            Some(Report { seed, violation, .. }) => {
                println!(
                    "{name:<16} noticed after {runs:>6} seeds (seed {seed}): {}",
                    violation.unwrap_or_default()
                );
            }
            None => {
                missed = false;
                println!("{name:<16} NOT noticed within {runs} seeds");
            }
        }
    }
    missed
}

fn replay(seed: u64, without: Option<Guard>) -> bool {
    match shortest(seed, without) {
        Some(history) => println!("{history}"),
        None => println!("seed {seed} breaks no invariant"),
    }
    run(seed, without).violation.is_none()
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some(options) = options()? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let sound = match options.replay {
        Some(seed) => replay(seed, options.without),
        None if options.mutants => miss_all(&options),
        None => simulate(&options),
    };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
