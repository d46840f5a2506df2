//! The signals that a thread blocks, and that programs inherit which it starts.

use std::mem::MaybeUninit;
use std::ptr;

/// Calls `f` with no signal blocked for the thread.
///
/// For starting programs: a program inherits the mask of the thread that starts it, std leaves it at that, and
/// threads of a runtime may block what a program needs to end by. A handler may run on the thread meanwhile.
///
/// Costs two system calls.
pub fn without_blocked_signals<R>(f: impl FnOnce() -> R) -> R {
    let _restore = set(no_signal());
    f()
}

fn no_signal() -> libc::sigset_t {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: valid for a write, which initializes it.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: initialized by the line above.
    unsafe { none.assume_init() }
}

/// Sets the mask of the thread until what this returns is dropped, also by a panic.
fn set(mask: libc::sigset_t) -> Restore {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first set is initialized, and the second is valid for a write.
    let done =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, before.as_mut_ptr()) };
    assert!(done == 0, "the arguments of pthread_sigmask(3) are valid");
    // SAFETY: the call has filled it.
    Restore(unsafe { before.assume_init() })
}

/// The mask that the thread had.
struct Restore(libc::sigset_t);

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: the set is initialized; nobody asks for the mask that goes.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().find(|line| line.starts_with("SigBlk")).unwrap().to_owned()
    }

    #[test]
    fn nothing_is_blocked_inside_and_all_is_as_before_afterwards() {
        let mut only_term = no_signal();
        // SAFETY: an initialized set, valid for a write.
        unsafe { libc::sigaddset(&raw mut only_term, libc::SIGTERM) };
        let outer = set(only_term);
        assert_eq!(blocked(), "SigBlk:\t0000000000004000");
        assert_eq!(without_blocked_signals(blocked), "SigBlk:\t0000000000000000");
        let panicked = std::panic::catch_unwind(|| without_blocked_signals(|| panic!("inside")));
        assert!(panicked.is_err());
        assert_eq!(blocked(), "SigBlk:\t0000000000004000");
        drop(outer);
    }
}
