//! The report of a deadlock: every task of the runtime, what it waits for, and who holds that.
//!
//! It walks the tree of nurseries from the main task, while all workers are stopped (see the README of
//! `sched`), with a stack of its own, since nurseries may be nested as deep as memory allows. It writes to
//! the descriptor itself: a task that waits may hold the lock of `std::io::stderr`.

use std::fmt::Write;
use std::ptr::NonNull;

use crate::sched::{Runnable, TaskList, Worker};
use crate::task::Task;

use super::holders::Waits;

/// Lists every task, a line each, indented by its depth in the tree.
///
/// # Safety
/// `main` is the main task of a runtime, alive. All workers of that runtime are stopped, and everything
/// that they have done is visible to the caller.
pub(super) unsafe fn describe(main: NonNull<Runnable>) -> TaskList {
    let (mut tasks, mut depths) = (Vec::new(), Vec::new());
    let mut left = vec![(main, 1)];
    while let Some((runnable, depth)) = left.pop() {
        // SAFETY: the runnables of the main task and of all children head tasks. They are alive: whoever
        // is in the tree has not ended, and nobody ends now.
        let task = unsafe { runnable.cast::<Task>().as_ref() };
        tasks.push(task);
        depths.push(depth);
        // SAFETY: all workers are stopped by contract.
        unsafe {
            task.branch().visit_children(&mut |child| left.push((child, depth + 1)));
        }
    }
    // SAFETY: as above, and the tree has all tasks.
    let waits = unsafe { Waits::of(&tasks) };
    let mut page = String::with_capacity(PAGE_BYTES);
    let mut traces = 0;
    for (at, (task, &depth)) in tasks.iter().zip(&depths).enumerate() {
        page.push_str(&line_of(task, &waits, at, depth));
        page.push('\n');
        if traces < TRACES_MAX && is_at_hand(task) {
            traces += 1;
            append_trace(&mut page, task, depth);
        }
    }
    waits.append_circles(&mut page);
    TaskList { count: tasks.len(), lines: page }
}

/// Writes the report and aborts the process.
pub(super) fn report(tasks: TaskList) -> ! {
    write_to_stderr("conbrio: deadlock: nothing can run any more; every task waits:\n");
    write_to_stderr(&tasks.lines);
    write_to_stderr(&format!(
        "conbrio: {} tasks; no deadline, no I/O and no blocking call is left that could make one run, so the \
         process is aborted; a task that a thread outside of the runtime would still have woken needs \
         `Builder::deadlock_check(false)`\n",
        tasks.count
    ));
    std::process::abort()
}

fn line_of(task: &Task, waits: &Waits<'_>, at: usize, depth: usize) -> String {
    let mut line = "  ".repeat(depth.min(INDENT_MAX));
    if depth > INDENT_MAX {
        let _ = write!(line, "(depth {depth}) ");
    }
    let (name, held_by) = (waits.name(at), waits.held_by(at));
    let what = task.waits_for().trim_start_matches('&');
    let _ = match task.runnable().home() {
        Some(home) => {
            // SAFETY: the runtime is alive, and its `Remote`s with it.
            let worker = unsafe { home.as_ref() }.index();
            write!(line, "{name} waits for {what}{held_by}, on worker {worker}")
        }
        None => write!(line, "{name} waits for a worker"),
    };
    if task.runnable().is_cancelled() {
        line.push_str(", cancelled");
    }
    line
}

/// Whether this thread may resume the task.
fn is_at_hand(task: &Task) -> bool {
    let Some(home) = task.runnable().home().filter(|_| task.has_started()) else { return false };
    // All workers of a simulated run belong to one thread.
    Worker::current_if(home).is_some() || task.worker().simulation().is_some()
}

/// Adds the frames of the program, the innermost first, without those of the runtime around them.
fn append_trace(page: &mut String, task: &Task, depth: usize) {
    let Some(trace) = task.trace() else { return };
    let indent = "  ".repeat(depth.min(INDENT_MAX) + 2);
    for frame in frames(&trace.to_string()).take(FRAMES_MAX) {
        let _ = writeln!(page, "{indent}{frame}");
    }
}

/// The frames of the program in the text of a backtrace, each with its place in the source if that is
/// known. The standard library does not promise the form of the text: what is not understood is left out.
fn frames(trace: &str) -> impl Iterator<Item = String> {
    let mut frames: Vec<String> = Vec::new();
    let mut is_ours = true;
    for line in trace.lines() {
        let line = line.trim_start();
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut()
                && !is_ours
            {
                let _ = write!(frame, " at {place}");
            }
        } else if let Some((number, name)) = line.split_once(": ")
            && number.bytes().all(|digit| digit.is_ascii_digit())
        {
            if FIBER.iter().any(|part| name.contains(part)) {
                // What comes after this is the thread that has resumed the fiber.
                break;
            }
            is_ours = RUNTIME.iter().any(|part| name.trim_start_matches('<').starts_with(part));
            if !is_ours {
                frames.push(format!("in {name}"));
            }
        }
    }
    frames.into_iter()
}

fn write_to_stderr(text: &str) {
    let mut left = text.as_bytes();
    while !left.is_empty() {
        // SAFETY: the bytes are valid for reading.
        let written = unsafe { libc::write(libc::STDERR_FILENO, left.as_ptr().cast(), left.len()) };
        match usize::try_from(written) {
            Ok(written) => left = &left[written..],
            Err(_) if std::io::Error::last_os_error().kind() == INTERRUPTED => {}
            // Nobody reads it; the process ends all the same.
            Err(_) => return,
        }
    }
}

const INTERRUPTED: std::io::ErrorKind = std::io::ErrorKind::Interrupted;
/// What the names of frames begin with that say nothing about the program.
const RUNTIME: &[&str] = &["conbrio::", "core::", "std::", "alloc::", "__rust"];
/// What is at the bottom of a task's stack.
const FIBER: &[&str] = &["conbrio_fiber::", "corosensei::", "stack_init_trampoline"];
/// Resolving the names of a trace takes about a millisecond.
const TRACES_MAX: usize = 100;
const FRAMES_MAX: usize = 12;
/// Deeper lines say their depth in figures, so that the report does not grow with the square of it.
const INDENT_MAX: usize = 40;
const PAGE_BYTES: usize = 16 * 1024;
