//! One line about a search that takes its time.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Says how far a search is, after a second and then once a second at most.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    next: Duration,
    is_terminal: bool,
    has_spoken: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            begun: Instant::now(),
            next: INTERVAL,
            is_terminal: std::io::stderr().is_terminal(),
            has_spoken: false,
        }
    }

    /// Called after each run.
    pub(super) fn tick(&mut self, line: impl FnOnce() -> String) {
        let elapsed = self.begun.elapsed();
        if elapsed < self.next {
            return;
        }
        self.next = elapsed + INTERVAL;
        let line = line();
        if self.is_terminal {
            // In place of the line before; what is left of that is cleared.
            let _ = write!(std::io::stderr(), "\rconbrio: {line}\x1b[K");
            self.has_spoken = true;
        } else {
            // By the macro: in a test it is kept with the rest of what the test prints.
            eprintln!("conbrio: {line}");
        }
    }

    /// Clears the line.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.has_spoken) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
