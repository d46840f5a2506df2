//! Ends the process when the runtime itself has broken a promise that borrowed memory relies on.
//!
//! Tasks borrow from one another's stacks. A scheduler that unwinds or leaves early would free frames
//! that are still borrowed, so the only sound answer to a bug in it is to end the process.

use std::io::Write;

/// Writes `message` to standard error and aborts.
#[cold]
pub(crate) fn abort(message: &str) -> ! {
    let _ = writeln!(
        std::io::stderr().lock(),
        "conbrio: {message}; the process is aborted, because tasks borrow from each other and none of \
         them may be left behind"
    );
    std::process::abort()
}

/// Aborts the process if it is dropped before [`disarm`](AbortGuard::disarm) has been called.
#[derive(Debug)]
pub(crate) struct AbortGuard(&'static str);

impl AbortGuard {
    pub(crate) fn new(message: &'static str) -> AbortGuard {
        AbortGuard(message)
    }

    pub(crate) fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for AbortGuard {
    fn drop(&mut self) {
        abort(self.0);
    }
}
