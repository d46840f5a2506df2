//! Running one test of this binary in a process of its own, for attacks that end the process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

/// Runs `body` in a child process and returns what became of it; in the child it never returns.
///
/// `test` is the full name of the calling test, by which the child finds it again.
pub(crate) fn in_child(test: &str, body: impl FnOnce()) -> Outcome {
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
    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Without the frames in reports: lines that begin with "in".
    #[allow(dead_code, reason = "the suite that shares this file has no reports")]
    pub(crate) fn without_frames(&self) -> Outcome {
        let is_frame = |line: &&str| line.trim_start().starts_with("in ");
        let stderr = self.stderr();
        let kept: Vec<&str> = stderr.lines().filter(|line| !is_frame(line)).collect();
        Outcome(Output { stderr: kept.join("\n").into_bytes(), ..self.0.clone() })
    }

    #[track_caller]
    pub(crate) fn assert_aborted(&self) -> &Outcome {
        let signal = self.0.status.signal();
        assert_eq!(signal, Some(libc::SIGABRT), "{}: {}", self.0.status, self.stderr());
        self
    }

    #[track_caller]
    pub(crate) fn assert_survived(&self) -> &Outcome {
        let code = self.0.status.code();
        assert_eq!(code, Some(EXIT_SURVIVED), "{}: {}", self.0.status, self.stderr());
        self
    }

    #[track_caller]
    #[allow(dead_code, reason = "not all suites that share this file need it")]
    pub(crate) fn assert_does_not_say(&self, text: &str) -> &Outcome {
        assert!(!self.stderr().contains(text), "{text:?} is in: {}", self.stderr());
        self
    }

    #[track_caller]
    pub(crate) fn assert_says(&self, text: &str) -> &Outcome {
        assert!(self.stderr().contains(text), "no {text:?} in: {}", self.stderr());
        self
    }
}

const VARIABLE: &str = "CONBRIO_ATTACK_CHILD";

/// Not 0, which a child that selected no test would exit with, nor the harness's 101.
const EXIT_SURVIVED: i32 = 42;
