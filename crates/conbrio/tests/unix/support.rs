//! What the suites share.

pub(crate) use crate::alone::in_a_process_of_its_own;
pub(crate) use crate::beside::beside;
pub(crate) use crate::trial::was_cancelled;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::net::{UnixListener, UnixStream};
use conbrio::prelude::*;
use conbrio::testing::{CancelPoints, Trial};
use conbrio::{Builder, Reactor};

/// Runs a test on one worker, and on two, on each reactor that the machine has.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for reactor in reactors() {
        for workers in [1, 2] {
            Builder::new().workers(workers).reactor(reactor).run(|cx| test(cx)).unwrap();
        }
    }
}

pub(crate) fn reactors() -> impl Iterator<Item = Reactor> {
    let uring = match Builder::new().workers(1).reactor(Reactor::Uring).run(|_| ()) {
        Ok(()) => Some(Reactor::Uring),
        Err(error) => {
            println!("SKIPPED on io_uring: {error}");
            None
        }
    };
    std::iter::once(Reactor::Epoll).chain(uring)
}

/// Cancels `body` at every point, on each reactor. What is lost is waited for in vain, so there is a limit,
/// which makes the wait fail.
#[track_caller]
pub(crate) fn real(points: usize, mut body: impl FnMut(&mut Cx, &Trial) + Send) {
    for reactor in reactors() {
        let builder = Builder::new().workers(1).reactor(reactor);
        let passed = CancelPoints::new().real(builder).run(|cx, trial| {
            let in_time = cx.move_on_after(Duration::from_secs(20), |cx| {
                body(cx, trial);
                Ok::<(), Cancelled>(())
            });
            drop(in_time);
        });
        assert!(passed >= points, "{passed} points: it did not wait where it was to wait");
    }
}

/// A folder of its own for a test, gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("conbrio-unix-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A listener and the two ends of a connection through it.
pub(crate) fn connection(cx: &mut Cx, path: &Path) -> (UnixListener, UnixStream, UnixStream) {
    let mut listener = UnixListener::bind(cx, path).unwrap();
    let left = UnixStream::connect(cx, path).unwrap();
    let (right, _) = listener.accept(cx).unwrap();
    (listener, left, right)
}

/// Bytes that show where they were lost, doubled or exchanged.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// How many descriptors this process has.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A local socket delivers at once; this is for the threads on the way.
pub(crate) const CUSHION: Duration = Duration::from_millis(3);
