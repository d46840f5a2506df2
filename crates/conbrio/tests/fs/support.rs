//! What the suites share.

pub(crate) use crate::alone::in_a_process_of_its_own;
pub(crate) use crate::pattern::pattern;
pub(crate) use crate::reactors::reactors;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use conbrio::Builder;
use conbrio::prelude::*;

/// Runs a test on one worker, and on two, on each reactor that the machine has.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    on_stacks(64 * 1024, test);
}

/// The same with stacks of another size.
#[track_caller]
pub(crate) fn on_stacks(bytes: usize, test: impl Fn(&mut Cx) + Send + Sync) {
    for reactor in reactors() {
        for workers in [1, 2] {
            let builder = Builder::new().workers(workers).reactor(reactor).stack_size(bytes);
            builder.run(|cx| test(cx)).unwrap();
        }
    }
}

/// A directory of one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder::inside(&std::env::temp_dir())
    }

    pub(crate) fn inside(parent: &Path) -> Folder {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("conbrio-fs-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The names of what is in it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Random numbers from a seed, which is printed if the test fails. `CONBRIO_SEED` replaces it.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(default: u64) -> Chance {
        let seed = std::env::var("CONBRIO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(default);
        println!("seed {seed}");
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Few rounds in every run, and many with `CONBRIO_SLOW_TESTS`.
pub(crate) fn rounds(few: usize, many: usize) -> usize {
    let is_slow = std::env::var_os("CONBRIO_SLOW_TESTS").is_some_and(|value| value != "0");
    if is_slow { many } else { few }
}

/// How many descriptors of this file the process has, whatever other tests do meanwhile.
pub(crate) fn descriptors_of(file: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    links.filter(|link| std::fs::read_link(link.path()).is_ok_and(|it| it == file)).count()
}

/// How many descriptors this process has: for tests that have it to themselves.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
