//! Running one test of this binary in a process of its own, to see what it prints and how it ends.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

/// What became of a child process.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// Runs `body` in a child process, with these variables, and returns what became of it; in the child it
/// never returns. `test` is the full name of the calling test, by which the child finds it again.
pub(crate) fn in_child(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> Said {
    if std::env::var_os(VARIABLE).is_some_and(|name| name == test) {
        body();
        std::process::exit(EXIT_SURVIVED);
    }
    let binary = std::env::current_exe().expect("a running binary has a path");
    let output = Command::new(binary)
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, test)
        .env_remove("RUST_BACKTRACE")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the test binary can be started again");
    Said { status: output.status, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

impl Said {
    /// The one line that contains `text`, from there on.
    #[track_caller]
    pub(crate) fn line(&self, text: &str) -> &str {
        let mut lines = self.stderr.lines().filter_map(|line| Some(&line[line.find(text)?..]));
        let first = lines.next().unwrap_or_else(|| panic!("no {text:?} in: {}", self.stderr));
        assert_eq!(lines.next(), None, "{text:?} comes twice in: {}", self.stderr);
        first
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.stderr.matches(text).count()
    }

    #[track_caller]
    pub(crate) fn assert_failed_as_a_test(&self) -> &Said {
        assert_eq!(self.status.code(), Some(101), "{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn assert_survived(&self) -> &Said {
        assert_eq!(self.status.code(), Some(EXIT_SURVIVED), "{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn assert_aborted(&self) -> &Said {
        assert_eq!(self.status.signal(), Some(SIGABRT), "{}", self.stderr);
        self
    }
}

/// Whether long campaigns were asked for; says so if not.
pub(crate) fn is_slow_wanted(campaign: &str) -> bool {
    let wanted = std::env::var_os("CONBRIO_SLOW_TESTS").is_some_and(|value| value != "0");
    if !wanted {
        eprintln!("SKIPPED: {campaign}: set CONBRIO_SLOW_TESTS=1 to run it");
    }
    wanted
}

/// Numbers drawn by chance, the same ones for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // Steele, Lea and Flood 2014, SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

const VARIABLE: &str = "CONBRIO_SIM_CHILD";
/// Not 0, which a child that selected no test would exit with, nor the harness's 101.
const EXIT_SURVIVED: i32 = 42;
const SIGABRT: i32 = 6;
