//! Running one test of this binary in a process of its own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

/// Runs `body` in a child process and returns what became of it; in the child it never returns.
///
/// `test` is the full name of the calling test, by which the child finds it again.
pub(crate) fn run(test: &str, body: impl FnOnce()) -> Outcome {
    if std::env::var_os(VARIABLE).is_some_and(|name| name == test) {
        body();
        std::process::exit(EXIT_SURVIVED);
    }
    let binary = std::env::current_exe().expect("a running binary has a path");
    let output = Command::new(binary)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .expect("the test binary can be started again");
    Outcome(output)
}

/// How a child ended and what it said.
#[derive(Debug)]
pub(crate) struct Outcome(Output);

impl Outcome {
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    pub(crate) fn assert_signal(&self, signal: i32) -> &Outcome {
        assert_eq!(self.0.status.signal(), Some(signal), "{}: {}", self.0.status, self.stderr());
        self
    }

    #[track_caller]
    pub(crate) fn assert_survived(&self) -> &Outcome {
        assert_eq!(
            self.0.status.code(),
            Some(EXIT_SURVIVED),
            "{}: {}",
            self.0.status,
            self.stderr()
        );
        self
    }

    #[track_caller]
    pub(crate) fn assert_says(&self, text: &str) -> &Outcome {
        assert!(self.stderr().contains(text), "no {text:?} in: {}", self.stderr());
        self
    }

    #[track_caller]
    pub(crate) fn assert_silent_about(&self, text: &str) -> &Outcome {
        assert!(!self.stderr().contains(text), "{text:?} in: {}", self.stderr());
        self
    }
}

const VARIABLE: &str = "CONBRIO_FIBER_CHILD";

/// Not 0, which a child that selected no test would exit with, nor the harness's 101.
const EXIT_SURVIVED: i32 = 42;
