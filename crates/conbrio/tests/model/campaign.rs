//! Many seeds, in child processes: a program that crashes or hangs is a failure like any other, and the
//! parent still knows which one it was.
//!
//! A child writes the number of each program to a file before it runs it. What it finds wrong it reports
//! itself; where it could not, the parent says how it ended.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::generate;
use crate::oracle::{Broken, Judged, judge};
use crate::program::{Dropped, Program};
use crate::run::run;
use crate::shrink::shrink;
use crate::trace::Event;

/// For a child: `first,count,path of the file for its progress`.
const SLICE: &str = "CONBRIO_MODEL_SLICE";
/// One program, by its seed; with `DROP`, without some of its statements.
const SEED: &str = "CONBRIO_SEED";
const DROP: &str = "CONBRIO_DROP";
/// Set to 0: a failure is reported as it is.
const SHRINK: &str = "CONBRIO_SHRINK";

/// What the environment asks of this process, if anything.
pub(crate) enum Order {
    Slice(u64, u64, PathBuf),
    Replay(u64, Dropped),
}

impl Order {
    pub(crate) fn from_environment() -> Option<Order> {
        if let Ok(slice) = std::env::var(SLICE) {
            let parts: Vec<&str> = slice.splitn(3, ',').collect();
            let [first, count, path] = parts[..] else { panic!("{SLICE} is first,count,path") };
            return Some(Order::Slice(number(first), number(count), PathBuf::from(path)));
        }
        let seed = number(&std::env::var(SEED).ok()?);
        let mut dropped = Dropped::default();
        for id in std::env::var(DROP).unwrap_or_default().split(',').filter(|id| !id.is_empty()) {
            dropped.set(id.parse().expect("numbers of statements, separated by commas"), true);
        }
        Some(Order::Replay(seed, dropped))
    }

    /// Does it; panics if a program fails.
    pub(crate) fn obey(self) {
        match self {
            Order::Slice(first, count, path) => child(first, count, &path),
            Order::Replay(seed, dropped) => replay(seed, &dropped),
        }
    }
}

pub(crate) fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|error| panic!("{text:?} is no number: {error}"))
}

fn try_one(program: &Program, dropped: &Dropped) -> (Vec<Event>, Result<Judged, Broken>) {
    let trace = run(program, dropped);
    let verdict = judge(program, &trace);
    (trace, verdict)
}

fn replay(seed: u64, dropped: &Dropped) {
    let program = generate::program(seed);
    eprintln!("{}", program.show(dropped));
    let (trace, verdict) = try_one(&program, dropped);
    report(&program, dropped, &trace, verdict.err().as_ref());
}

/// Prints a run, and panics if it broke a rule.
fn report(program: &Program, dropped: &Dropped, trace: &[Event], broken: Option<&Broken>) {
    for (at, event) in trace.iter().enumerate() {
        eprintln!("{at:4} {event}");
    }
    match broken {
        None => eprintln!("campaign: seed {}: no rule is broken", program.seed),
        Some(broken) => {
            eprintln!("campaign: seed {}: {broken}", program.seed);
            eprintln!("{}", again(program.seed, dropped));
            panic!("the runtime and the model disagree");
        }
    }
}

/// How to see one program again.
fn again(seed: u64, dropped: &Dropped) -> String {
    let ids: Vec<String> = dropped.ids().map(|id| id.to_string()).collect();
    let drop = if ids.is_empty() { String::new() } else { format!(" {DROP}={}", ids.join(",")) };
    format!(
        "to see it again:\n  {SEED}={seed}{drop} cargo test -p conbrio --test model programs -- --nocapture"
    )
}

fn child(first: u64, count: u64, progress: &std::path::Path) {
    let progress = File::options().write(true).open(progress).expect("the parent has made it");
    let mut coverage = Coverage::new();
    for seed in first..first + count {
        progress.write_all_at(&seed.to_le_bytes(), 0).expect("there is room for eight bytes");
        let program = generate::program(seed);
        let none = Dropped::default();
        let (trace, verdict) = try_one(&program, &none);
        match verdict {
            Ok(judged) => coverage.add(&trace, judged),
            Err(broken) => explain(&program, &trace, &broken),
        }
    }
    eprintln!("{}", coverage.as_line());
}

/// Reports a broken rule with the smallest program that breaks it.
fn explain(program: &Program, trace: &[Event], broken: &Broken) {
    let mut dropped = Dropped::default();
    if is_shrinking() {
        let fails = |dropped: &Dropped| {
            try_one(program, dropped).1.is_err_and(|other| other.rule == broken.rule)
        };
        dropped = shrink(program, dropped, fails);
    }
    eprintln!("{}", program.show(&dropped));
    match try_one(program, &dropped) {
        (trace, Err(broken)) => report(program, &dropped, &trace, Some(&broken)),
        // A run is a function of its seed, or so it should be.
        _ => report(program, &dropped, trace, Some(broken)),
    }
}

fn is_shrinking() -> bool {
    std::env::var(SHRINK).map_or(true, |value| value != "0")
}

/// Runs the seeds from `first` on in `children` processes, and returns what they have seen.
pub(crate) fn campaign(first: u64, count: u64, children: u64) -> Coverage {
    let begun = Instant::now();
    let share = count.div_ceil(children.max(1));
    let slices = (first..first + count).step_by(usize::try_from(share).expect("it fits"));
    let running: Vec<_> = slices
        .map(|from| {
            let count = share.min(first + count - from);
            std::thread::spawn(move || slice(from, count))
        })
        .collect();
    let mut coverage = Coverage::new();
    let mut failures = Vec::new();
    for slice in running {
        match slice.join().expect("a slice does not panic") {
            Ok(line) => coverage.add_line(&line),
            Err(failure) => failures.push(failure),
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!(
        "campaign: {} programs, {} of them partly, {} events, {seconds:.1} s, {:.0} programs/s in \
         {children} processes",
        coverage.programs,
        coverage.partly,
        coverage.events,
        coverage.programs as f64 / seconds
    );
    for failure in &failures {
        eprintln!("{failure}");
    }
    assert!(failures.is_empty(), "the runtime and the model disagree");
    coverage
}

/// Runs some seeds in one child, and returns what it has seen as a line, or why it failed.
fn slice(first: u64, count: u64) -> Result<String, String> {
    let name = format!("conbrio-model-{}-{first}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let progress = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let progress = progress.map_err(|error| format!("make {}: {error}", path.display()))?;
    let ended = attempt(&[(SLICE, format!("{first},{count},{}", path.display()))], |since_look| {
        let mut seed = [0; 8];
        let read = progress.read_at(&mut seed, 0).unwrap_or(0);
        (read == seed.len() && since_look > PATIENCE).then(|| u64::from_le_bytes(seed))
    });
    let mut seed = [0; 8];
    let _ = progress.read_at(&mut seed, 0);
    let seed = u64::from_le_bytes(seed);
    let _ = std::fs::remove_file(&path);
    let ended = ended?;
    if ended.status.success() {
        let line = ended.text.lines().rev().find_map(|line| line.strip_prefix(Coverage::LINE));
        return line
            .map(str::to_owned)
            .ok_or_else(|| format!("a child said only:\n{}", ended.text));
    }
    // What the child reports itself is all there is to say.
    if ended.text.contains("campaign: seed ") {
        return Err(ended.text);
    }
    let mut dropped = Dropped::default();
    let program = generate::program(seed);
    if is_shrinking() {
        let fails = |dropped: &Dropped| !again_in_a_child(seed, dropped);
        dropped = shrink(&program, dropped, fails);
    }
    Err(format!(
        "{}\n{}\ncampaign: seed {seed}: {}\n{}",
        program.show(&dropped),
        ended.text,
        ended.how(),
        again(seed, &dropped)
    ))
}

/// Whether one program ends as it should.
fn again_in_a_child(seed: u64, dropped: &Dropped) -> bool {
    let ids: Vec<String> = dropped.ids().map(|id| id.to_string()).collect();
    let variables = [(SEED, seed.to_string()), (DROP, ids.join(","))];
    let ended = attempt(&variables, |since| (since > PATIENCE_ONE).then_some(seed));
    ended.is_ok_and(|ended| ended.status.success())
}

struct Ended {
    status: ExitStatus,
    text: String,
    is_late: bool,
}

impl Ended {
    fn how(&self) -> String {
        if self.is_late {
            "the program does not end".to_owned()
        } else {
            format!("the process ended with {}", self.status)
        }
    }
}

/// Runs this test again in a child, with these variables. `is_stuck` gets the time since it last named
/// another seed, and names a seed where the child is to be ended.
fn attempt(
    variables: &[(&str, String)],
    is_stuck: impl Fn(Duration) -> Option<u64>,
) -> Result<Ended, String> {
    let this = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let mut child = Command::new(this)
        .args(["--exact", "programs", "--nocapture"])
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start a child: {error}"))?;
    let (done, is_done) = mpsc::channel();
    let text = read_aside(child.stderr.take(), done);
    let (mut since, mut last, mut is_late) = (Instant::now(), None, false);
    while is_done.recv_timeout(LOOK).is_err() {
        match is_stuck(since.elapsed()) {
            Some(seed) if last == Some(seed) => {
                is_late = true;
                let _ = child.kill();
                break;
            }
            Some(seed) => (last, since) = (Some(seed), Instant::now()),
            None => {}
        }
    }
    let status = child.wait().map_err(|error| format!("wait for a child: {error}"))?;
    let text = text.join().expect("reading does not panic");
    Ok(Ended { status, text, is_late })
}

fn read_aside(
    pipe: Option<impl Read + Send + 'static>,
    done: mpsc::Sender<()>,
) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // The receiver may have stopped to listen.
        let _ = done.send(());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// How often the parent looks after a child.
const LOOK: Duration = Duration::from_millis(100);
/// A program of microseconds that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_ONE: Duration = Duration::from_millis(500);
