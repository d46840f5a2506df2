//! What the suites share.

pub(crate) use crate::alone::in_a_process_of_its_own;
pub(crate) use crate::beside::beside;
pub(crate) use crate::on_workers::on_workers;
pub(crate) use crate::open_files::{exhaust, open_descriptors};
pub(crate) use crate::pattern::pattern;
pub(crate) use crate::reactors::reactors;
pub(crate) use crate::trial::was_cancelled;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::Builder;
use conbrio::net::{UnixListener, UnixStream};
use conbrio::prelude::*;
use conbrio::testing::Trial;

/// Cancels `body` at every point, on each reactor that the machine has.
#[track_caller]
pub(crate) fn real(points: usize, mut body: impl FnMut(&mut Cx, &Trial) + Send) {
    for reactor in reactors() {
        crate::real::real(Builder::new().reactor(reactor), points, &mut body);
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

/// A local socket delivers at once; this is for the threads on the way.
pub(crate) const CUSHION: Duration = Duration::from_millis(3);
