//! What the suites share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conbrio::io::{PipeReader, Read};
use conbrio::prelude::*;
use conbrio::process::{Child, Command, Process};
use conbrio::testing::settle;
use conbrio::{Builder, MaybeCancelled};

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

/// Runs `f` until it waits and everything has come to rest, cancels it there, and returns its error, which
/// must be a cancellation.
#[track_caller]
pub(crate) fn cancel_when_blocked<R, E>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, E> + Send,
) -> E
where
    R: std::fmt::Debug + Send,
    E: MaybeCancelled + std::fmt::Debug + Send,
{
    let (outcome, has_ended) = (Mutex::new(None), AtomicBool::new(false));
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn(|cx| {
            *outcome.lock().unwrap() = Some(f(cx));
            has_ended.store(true, Ordering::SeqCst);
            Ok(())
        });
        settle(cx, CUSHION)?;
        assert!(!has_ended.load(Ordering::SeqCst), "it was to wait");
        n.cancel();
        Ok(())
    })
    .unwrap();
    let error = outcome.into_inner().unwrap().expect("it has ended").expect_err("it was to wait");
    assert!(error.cancelled().is_some(), "it was to be cancelled: {error:?}");
    error
}

/// Calls `f` in a scope that is cancelled already, and returns its error, which must be the cancellation.
#[track_caller]
pub(crate) fn cancelled_before<R, E>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> Result<R, E>) -> E
where
    R: std::fmt::Debug,
    E: MaybeCancelled,
{
    let mut seen = None;
    let outcome = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
        scope.cancel();
        seen = Some(f(cx));
        Ok(())
    });
    assert!(matches!(outcome, Ok(Some(()))));
    let error = seen.unwrap().unwrap_err();
    assert!(error.cancelled().is_some(), "it was to be cancelled");
    error
}

/// Runs this test binary again, with only the test `name`, which finds `name` in the environment. For what
/// cannot share a process with other tests.
#[track_caller]
pub(crate) fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    if let Some((status, text)) = run_alone(name, test) {
        assert!(
            status.success() && text.contains("1 passed"),
            "{name} in its own process: {status}\n{text}"
        );
    }
}

/// As [`in_a_process_of_its_own`], for a test that a signal is to end.
#[track_caller]
pub(crate) fn in_a_process_that_ends_by(signal: i32, name: &str, test: impl FnOnce()) {
    use std::os::unix::process::ExitStatusExt;

    if let Some((status, text)) = run_alone(name, test) {
        assert_eq!(status.signal(), Some(signal), "{name} in its own process: {status}\n{text}");
    }
}

/// `None` in the child.
fn run_alone(name: &str, test: impl FnOnce()) -> Option<(std::process::ExitStatus, String)> {
    const VARIABLE: &str = "CONBRIO_TEST_CHILD";
    if std::env::var(VARIABLE).is_ok_and(|value| value == name) {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // What a shell without job control starts in the background is started with SIGINT ignored, and
            // hands that on.
            // SAFETY: the default action is a valid one, and nothing else handles signals yet.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        test();
        return None;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let text = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    Some((output.status, text))
}

/// Bytes that show where they were lost, doubled or exchanged.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// What is local comes at once; this is for the threads on the way.
pub(crate) const CUSHION: Duration = Duration::from_millis(3);

/// For waits that are to end by something else.
pub(crate) const LONG: Duration = Duration::from_secs(3600);
