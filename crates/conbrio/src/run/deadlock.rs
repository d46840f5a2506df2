//! The report of a deadlock: every task of the runtime, and what it waits for.
//!
//! It walks the tree of nurseries from the main task, while all workers are stopped (see the README of
//! `sched`), with a stack of its own, since nurseries may be nested as deep as memory allows. It writes to
//! the descriptor itself: a task that waits may hold the lock of `std::io::stderr`.

use std::fmt::Write;
use std::ptr::NonNull;

use crate::sched::Runnable;
use crate::task::Task;

/// Lists every task, a line each, indented by its depth in the tree.
///
/// # Safety
/// `main` is the main task of a runtime, alive. All workers of that runtime are stopped, and everything
/// that they have done is visible to the caller.
pub(super) unsafe fn describe(main: NonNull<Runnable>) -> String {
    let mut page = String::with_capacity(PAGE_BYTES);
    let mut left = vec![(main, 1)];
    while let Some((runnable, depth)) = left.pop() {
        // SAFETY: the runnables of the main task and of all children head tasks. They are alive: whoever
        // is in the tree has not ended, and nobody ends now.
        let task = unsafe { runnable.cast::<Task>().as_ref() };
        page.push_str(&line_of(task, depth));
        page.push('\n');
        // SAFETY: all workers are stopped by contract.
        unsafe {
            task.branch().visit_children(&mut |child| left.push((child, depth + 1)));
        }
    }
    page
}

/// Writes the report and aborts the process.
pub(super) fn report(tasks: String) -> ! {
    let count = tasks.lines().count();
    write_to_stderr("conbrio: deadlock: nothing can run any more; every task waits:\n");
    write_to_stderr(&tasks);
    write_to_stderr(&format!(
        "conbrio: {count} tasks; no deadline, no I/O and no blocking call is left that could make one run, so \
         the process is aborted; a task that a thread outside of the runtime would still have woken needs \
         `Builder::deadlock_check(false)`\n"
    ));
    std::process::abort()
}

fn line_of(task: &Task, depth: usize) -> String {
    let mut line = "  ".repeat(depth.min(INDENT_MAX));
    if depth > INDENT_MAX {
        let _ = write!(line, "(depth {depth}) ");
    }
    let name = task.name().escape_debug();
    let what = task.waits_for().trim_start_matches('&');
    let _ = match task.runnable().home() {
        Some(home) => {
            // SAFETY: the runtime is alive, and its `Remote`s with it.
            let worker = unsafe { home.as_ref() }.index();
            write!(line, "'{name}' waits for {what}, on worker {worker}")
        }
        None => write!(line, "'{name}' waits for a worker"),
    };
    if task.runnable().is_cancelled() {
        line.push_str(", cancelled");
    }
    line
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
/// Deeper lines say their depth in figures, so that the report does not grow with the square of it.
const INDENT_MAX: usize = 40;
const PAGE_BYTES: usize = 16 * 1024;
