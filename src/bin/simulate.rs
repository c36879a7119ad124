//! Runs the simulator (`tasker_core::simulation`) on seed after seed, on every core.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use tasker_core::simulation::{Guard, Known, Report, difference, run, shortest, silence_mutants};

const HELP: &str = "\
Usage: bin/simulate [options]

Runs workers on a simulated database, clock and network, with faults, and looks for broken invariants
(docs/invariants.md). Everything in a run follows from its seed: the same seed gives the same run, which is
checked for one seed of 100. Plans that once broke an invariant (tests/simulation) are run first.

Options:
    --seeds N       seeds to run (default: 10000)
    --start S       the first of them (default: 0)
    --seconds T     go on for so long, whatever --seeds says
    --replay S      run one seed, and print the shortest history found that breaks an invariant
    --save FILE     keep the plan of that history, or of the first seed that breaks an invariant, for --plan
    --plan FILE     run the plan of a file, with and without the guard that it names, and print its history
    --mutants       take each guard of the engine away, one at a time: every absence must be noticed within
                    --seeds seeds
    --without GUARD take this guard away in every run
    -h, --help      show this help

Exit status: 0 when no invariant was broken (--mutants: when every absence was noticed), else 1.

Examples:
    bin/simulate --seeds 100000
    bin/simulate --seconds 60 --start 1000000
    bin/simulate --replay 42
    bin/simulate --replay 42 --save tests/simulation/late_end.json
    bin/simulate --plan tests/simulation/late_end.json
    bin/simulate --mutants
";

/// Of so many seeds one is run again, to see that it gives the same run.
const REPEATED: u64 = 100;

struct Options {
    seeds: u64,
    start: u64,
    seconds: Option<u64>,
    replay: Option<u64>,
    save: Option<PathBuf>,
    plan: Option<PathBuf>,
    mutants: bool,
    without: Option<Guard>,
}

fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options {
        seeds: 10_000,
        start: 0,
        seconds: None,
        replay: None,
        save: None,
        plan: None,
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
            Long("save") => options.save = Some(parser.value()?.into()),
            Long("plan") => options.plan = Some(parser.value()?.into()),
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
    /// Runs of small plans, and the nanoseconds that they took, of all cores together.
    small: AtomicU64,
    small_ns: AtomicU64,
    broken: Mutex<Vec<Report>>,
}

impl Tally {
    fn add(&self, report: Report, took: Duration) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.tasks.fetch_add(report.tasks, Ordering::Relaxed);
        self.transitions.fetch_add(report.transitions, Ordering::Relaxed);
        if report.small {
            self.small.fetch_add(1, Ordering::Relaxed);
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.small_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        }
        if report.violation.is_some() {
            self.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(report);
        }
    }

    fn first_broken(self) -> Option<Report> {
        let broken = self.broken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        broken.into_iter().min_by_key(|report| report.seed)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
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
            let began = Instant::now();
            let mut report = run(seed, without);
            let took = began.elapsed();
            if number.is_multiple_of(REPEATED) && without.is_none() {
                let another = |what| format!("the same seed gave another run: {what}");
                report.violation = report.violation.or_else(|| difference(seed).map(another));
            }
            if report.violation.is_some() {
                stop.store(true, Ordering::Relaxed);
            }
            tally.add(report, took);
        }
    };
    std::thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(work))));
    tally
}

/// Where plans are kept.
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulation");

fn read(file: &Path) -> Result<Known, Box<dyn Error>> {
    let fault = |error: &dyn Error| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| fault(&error))?;
    Ok(Known::from_json(&text).map_err(|error| fault(&error))?)
}

/// Plans that once broke an invariant break none, and each is missed by the guard that it names.
fn run_known() -> Result<bool, Box<dyn Error>> {
    let mut files = std::fs::read_dir(KNOWN)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    let mut sound = !files.is_empty();
    for file in &files {
        if let Some(fault) = read(file)?.fault() {
            println!("{}: {fault}", file.display());
            sound = false;
        }
    }
    println!("{} plans that are known", files.len());
    Ok(sound)
}

fn run_plan(file: &Path) -> Result<bool, Box<dyn Error>> {
    let known = read(file)?;
    println!("{known}");
    let fault = known.fault();
    println!("{}", fault.as_deref().unwrap_or("as it should be"));
    Ok(fault.is_none())
}

/// Prints the history, and keeps its plan if that is wanted.
fn show(known: &Known, options: &Options) -> Result<(), Box<dyn Error>> {
    println!("{known}");
    if let Some(file) = &options.save {
        std::fs::write(file, known.to_json())?;
        let (noticed, variants) = known.noticed(options.without);
        println!("{}: noticed in {noticed} of {variants} variants", file.display());
    }
    Ok(())
}

fn simulate(options: &Options) -> Result<bool, Box<dyn Error>> {
    if options.without.is_none() && !run_known()? {
        return Ok(false);
    }
    let began = Instant::now();
    let tally = run_all(options, options.without);
    let seconds = began.elapsed().as_secs_f64();
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let runs = count(&tally.runs);
    println!(
        "{runs} seeds from {} in {seconds:.1} s, {:.0} a second on {} cores: {} tasks, {} transitions",
        options.start,
        runs as f64 / seconds,
        cores(),
        count(&tally.tasks),
        count(&tally.transitions)
    );
    println!(
        "{} of them with small graphs, {:.0} a second and core",
        count(&tally.small),
        count(&tally.small) as f64 * 1e9 / count(&tally.small_ns).max(1) as f64
    );
    let Some(Report { seed, violation, .. }) = tally.first_broken() else {
        println!("no invariant was broken");
        return Ok(true);
    };
    println!("seed {seed}: {}", violation.unwrap_or_default());
    if let Some(known) = shortest(seed, options.without) {
        show(&known, options)?;
    }
    Ok(false)
}

/// Every guard must be missed.
fn miss_all(options: &Options) -> bool {
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

fn replay(seed: u64, options: &Options) -> Result<bool, Box<dyn Error>> {
    let Some(known) = shortest(seed, options.without) else {
        println!("seed {seed} breaks no invariant");
        return Ok(true);
    };
    show(&known, options)?;
    Ok(false)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some(options) = options()? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    silence_mutants();
    let sound = match (options.replay, &options.plan) {
        (Some(seed), _) => replay(seed, &options)?,
        (None, Some(file)) => run_plan(file)?,
        (None, None) if options.mutants => miss_all(&options),
        (None, None) => simulate(&options)?,
    };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
