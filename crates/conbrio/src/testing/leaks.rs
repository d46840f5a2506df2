//! Checks that something leaves nothing behind: in its process, or in its runtime.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use crate::run::RuntimeStatistics;
use crate::task::Cx;

/// Runs `f` and panics if it has left behind open file descriptors or threads of this process.
///
/// For whole runtimes: when [`run`](crate::run()) returns, everything that belongs to the runtime is gone.
/// It counts for the whole process, so nothing else may open files or start threads meanwhile: put such a
/// test into a test target of its own, or run it with `--test-threads=1`. A first call of `f` before this
/// one keeps out what is opened once and stays.
///
/// # Panics
///
/// If something was left behind; the message names it. If `/proc` cannot be read. A panic of `f` goes on.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::testing::leaks;
///
/// let sum = leaks::assert_none(|| {
///     conbrio::run(|cx| cx.blocking(|| 1 + 1).unwrap())
/// });
/// assert_eq!(sum, 2);
/// ```
#[track_caller]
pub fn assert_none<R>(f: impl FnOnce() -> R) -> R {
    let before = Process::now();
    let value = f();
    let began = Instant::now();
    let mut asleep = 0;
    loop {
        let (descriptors, threads) = Process::now().since(&before);
        // A thread that has done its work needs a moment to end; one that sleeps does not mean to.
        asleep = if threads.iter().all(|thread| thread.is_asleep) { asleep + 1 } else { 0 };
        if threads.is_empty() || asleep > LOOKS_AT_SLEEPERS || began.elapsed() > PATIENCE {
            let words: Vec<String> =
                descriptors.into_iter().chain(threads.iter().map(Thread::to_string)).collect();
            assert!(
                words.is_empty(),
                "something was left behind in the process: {}",
                words.join(", ")
            );
            return value;
        }
        // tidy: allow(sleep) nothing tells when the kernel has finished with a thread
        std::thread::sleep(PAUSE);
    }
}

/// Runs `f` and panics if it has left behind tasks, stacks, timers or waits for I/O in the runtime.
///
/// Other tasks of the runtime must not begin or end anything meanwhile. Stacks, timers and I/O are those of
/// the worker that the calling task runs on; tasks and blocking calls are those of the whole runtime. Use a
/// runtime with one worker to see all.
///
/// # Cancellation
///
/// Not a checkpoint by itself, but it may give way to tasks on other workers that are about to end.
///
/// # Panics
///
/// If something was left behind; the message names it. A panic of `f` goes on.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::testing::leaks;
/// use std::time::Duration;
///
/// conbrio::run(|cx| {
///     leaks::assert_none_in(cx, |cx| {
///         // The timer of the limit is gone when the scope is left.
///         cx.move_on_after(Duration::from_secs(3600), |cx| cx.yield_now())
///     })
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn assert_none_in<R>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> R) -> R {
    let before = Runtime::now(cx);
    let value = f(cx);
    let began = Instant::now();
    loop {
        let Some(left) = Runtime::now(cx).since(before) else { return value };
        // A child counts itself down on its worker a moment before that worker takes its stack back.
        let patience = if cx.runtime().workers > 1 { PATIENCE } else { Duration::ZERO };
        assert!(began.elapsed() < patience, "something was left behind in the runtime: {left}");
        std::thread::yield_now();
        cx.yield_shielded();
    }
}

/// What is left on the worker of the main task when nothing but that task is there any more.
pub(super) fn left_in_worker(cx: &Cx) -> Option<String> {
    let main_alone = Runtime { stacks: 1, ..Runtime::default() };
    Runtime { tasks: 0, blocking: 0, ..Runtime::now(cx) }.since(main_alone)
}

/// What is counted of a runtime.
#[derive(Clone, Copy, Debug, Default)]
struct Runtime {
    tasks: usize,
    stacks: usize,
    timers: usize,
    io_waits: usize,
    blocking: usize,
}

impl Runtime {
    fn now(cx: &Cx) -> Runtime {
        let RuntimeStatistics {
            tasks,
            stacks,
            timers,
            io_waits,
            blocking_threads,
            blocking_idle,
            blocking_waiting,
            ..
        } = cx.statistics();
        let blocking = blocking_threads.saturating_sub(blocking_idle) + blocking_waiting;
        Runtime { tasks, stacks, timers, io_waits, blocking }
    }

    /// What is there now and was not before, in words.
    fn since(self, before: Runtime) -> Option<String> {
        let more = [
            (self.tasks, before.tasks, "tasks"),
            (self.stacks, before.stacks, "stacks"),
            (self.timers, before.timers, "timers"),
            (self.io_waits, before.io_waits, "waits for I/O"),
            (self.blocking, before.blocking, "blocking calls"),
        ];
        let words: Vec<String> = more
            .into_iter()
            .filter(|(now, before, _)| now > before)
            .map(|(now, before, what)| format!("{} {what}", now - before))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// What is counted of a process: descriptors by number, with what they are open for, and threads by id.
#[derive(Debug)]
struct Process {
    descriptors: BTreeMap<String, String>,
    threads: BTreeMap<String, Thread>,
}

#[derive(Debug)]
struct Thread {
    id: String,
    name: String,
    is_asleep: bool,
}

impl Process {
    #[track_caller]
    fn now() -> Process {
        let descriptors = entries("/proc/self/fd", |_, path| {
            let target = fs::read_link(path).ok()?.to_string_lossy().into_owned();
            // The descriptor through which this very folder is read.
            (!target.ends_with("/fd")).then_some(target)
        });
        let threads = entries("/proc/self/task", |id, path| {
            Thread::parse(id, &fs::read_to_string(path.join("stat")).ok()?)
        });
        Process { descriptors, threads }
    }

    /// What is there now and was not before.
    fn since(self, before: &Process) -> (Vec<String>, Vec<Thread>) {
        // A number that was closed and opened again is another descriptor; a thread keeps its id.
        let descriptors = self
            .descriptors
            .iter()
            .filter(|(fd, target)| before.descriptors.get(*fd) != Some(*target))
            .map(|(fd, target)| format!("descriptor {fd} -> {target}"))
            .collect();
        let threads =
            self.threads.into_values().filter(|t| !before.threads.contains_key(&t.id)).collect();
        (descriptors, threads)
    }
}

impl Thread {
    /// Reads `/proc/self/task/<id>/stat`, see proc_pid_stat(5). `None` for a thread that is ending: it may
    /// have been joined.
    fn parse(id: &str, stat: &str) -> Option<Thread> {
        let (_, after) = stat.split_once('(')?;
        // The name may hold parentheses; what follows does not.
        let (name, fields) = after.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?;
        let flags: u32 = fields.nth(5)?.parse().ok()?;
        let is_ending = flags & PF_EXITING != 0 || matches!(state, "Z" | "X");
        (!is_ending).then(|| Thread {
            id: id.to_owned(),
            name: name.to_owned(),
            is_asleep: state == "S",
        })
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} '{}'", self.id, self.name)
    }
}

/// What `read` makes of each entry of a folder; what vanishes meanwhile is left out.
#[track_caller]
fn entries<T>(folder: &str, read: impl Fn(&str, &Path) -> Option<T>) -> BTreeMap<String, T> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) => panic!("a check for leaks reads {folder}: {error}"),
    };
    let named = list.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let value = read(&name, &entry.path())?;
        Some((name, value))
    });
    named.collect()
}

/// A thread on its way out, in the kernel's `include/linux/sched.h`.
const PF_EXITING: u32 = 4;
/// How often all threads that are left must be seen asleep before they count as left behind.
const LOOKS_AT_SLEEPERS: u32 = 30;
/// For how long the last signs of what has ended are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::Thread;

    #[test]
    fn threads_are_read_from_their_status() {
        let line = |state: &str, flags: u32| {
            format!("17 (a (b) c) {state} 1 17 17 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 3 0")
        };
        let thread = Thread::parse("17", &line("S", 4_194_368)).unwrap();
        assert_eq!((thread.to_string().as_str(), thread.is_asleep), ("thread 17 'a (b) c'", true));
        assert!(!Thread::parse("17", &line("R", 64)).unwrap().is_asleep);
        // On its way out, or gone.
        assert!(Thread::parse("17", &line("R", 4_194_372)).is_none());
        assert!(Thread::parse("17", &line("X", 64)).is_none());
        assert!(Thread::parse("17", "").is_none());
    }
}
