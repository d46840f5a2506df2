//! Panics that nobody can be told of, besides the panic hook, which has printed them.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `f`. A panic of it ends here, and so does one of the destructor of what it has panicked with.
///
/// The payload of a panic is a value of foreign code, whose destructor may panic, too. That panic has a
/// payload again, and so on: the second one is leaked.
pub(crate) fn swallow_panics(f: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { return };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::resume_unwind;

    /// Panics with another one when it is dropped, for ever.
    struct Hydra;

    impl Drop for Hydra {
        fn drop(&mut self) {
            resume_unwind(Box::new(Hydra));
        }
    }

    #[test]
    fn nothing_gets_out() {
        swallow_panics(|| resume_unwind(Box::new(Hydra)));
        swallow_panics(|| resume_unwind(Box::new("an ordinary one")));
        swallow_panics(|| ());
    }
}
