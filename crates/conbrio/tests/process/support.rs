//! What the suites share.

pub(crate) use crate::cancelling::{CUSHION, cancel_when_blocked, cancelled_before};
pub(crate) use crate::pattern::pattern;
use std::time::Duration;

use conbrio::Builder;
use conbrio::io::{PipeReader, Read};
use conbrio::prelude::*;
use conbrio::process::{Child, Command, Process};

use crate::alone;

/// Runs a test on one worker, and on two.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2] {
        Builder::new().workers(workers).run(|cx| test(cx)).unwrap();
    }
}

/// A shell that runs `script`.
pub(crate) fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Reads up to the next line feed, byte by byte, so that nothing behind it is taken.
pub(crate) fn line(cx: &mut Cx, reader: &mut PipeReader) -> std::io::Result<String> {
    let mut line = String::new();
    let mut byte = [0];
    loop {
        Read::read_exact(reader, cx, &mut byte)?;
        if byte == *b"\n" {
            return Ok(line);
        }
        line.push(byte[0].into());
    }
}

/// Whether a process has this id: running, or a zombie.
pub(crate) fn exists(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

/// Asserts that a process has been reaped: its id is free, or has another process, which is no child of this
/// one.
#[track_caller]
pub(crate) fn assert_reaped(id: u32) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let found = waitid(WaitId::Pid(pid), options);
    assert_eq!(found.err(), Some(rustix::io::Errno::CHILD), "{id} was not reaped");
}

/// Forgets a child when `f` has ended it, and waits for that.
pub(crate) fn wait_unreaped_after(child: Child, f: impl FnOnce(&Child)) {
    f(&child);
    let id = child.id();
    std::mem::forget(child);
    wait_unreaped_id(id);
}

/// Blocks until `process` has ended, and does not reap it.
pub(crate) fn wait_unreaped(process: &Process) {
    wait_unreaped_id(process.id());
}

fn wait_unreaped_id(id: u32) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
}

/// As [`alone::in_a_process_of_its_own`], with the signals as a shell in the foreground leaves them.
#[track_caller]
pub(crate) fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    alone::in_a_process_of_its_own(name, || {
        reset_signals();
        test();
    });
}

/// As [`in_a_process_of_its_own`], for a test that a signal is to end.
#[track_caller]
pub(crate) fn in_a_process_that_ends_by(signal: i32, name: &str, test: impl FnOnce()) {
    use std::os::unix::process::ExitStatusExt;

    let ended = alone::run_alone(name, || {
        reset_signals();
        test();
    });
    if let Some((status, text)) = ended {
        assert_eq!(status.signal(), Some(signal), "{name} in its own process: {status}\n{text}");
    }
}

/// What a shell without job control starts in the background is started with SIGINT ignored, and hands that
/// on.
fn reset_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the default action is a valid one, and nothing else handles signals yet.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// For waits that are to end by something else.
pub(crate) const LONG: Duration = Duration::from_secs(3600);
