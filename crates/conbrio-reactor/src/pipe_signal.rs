//! Keeping `SIGPIPE` away from system calls that cannot be told to spare us: sendfile(2), and writev(2) on
//! older kernels.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Calls `f` with `SIGPIPE` blocked for the thread, and takes it away if `f` has raised it: it goes to the
/// thread that writes, signal(7). `f` says by `BrokenPipe` that it has.
///
/// Costs three system calls.
///
/// # Errors
///
/// Those of `f`.
pub fn without_pipe_signal<R>(f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let only_pipe = only_pipe();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first set is initialized, and the second is valid for a write.
    let blocked = unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const only_pipe, before.as_mut_ptr())
    };
    assert!(blocked == 0, "the arguments of pthread_sigmask(3) are valid");
    // One that was pending before is not ours to take.
    let was_pending = is_pending();
    let result = f();
    if !was_pending && matches!(&result, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time are initialized; nobody asks for the signal's details.
        unsafe { libc::sigtimedwait(&raw const only_pipe, ptr::null_mut(), &raw const now) };
    }
    // SAFETY: the first call has filled `before`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

fn only_pipe() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: valid for a write, which initializes it.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialized by the line above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE) };
    // SAFETY: initialized by the lines above.
    unsafe { set.assume_init() }
}

fn is_pending() -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: valid for a write, which initializes it.
    unsafe { libc::sigpending(set.as_mut_ptr()) };
    // SAFETY: initialized by the line above.
    unsafe { libc::sigismember(set.as_ptr(), libc::SIGPIPE) == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_signal_that_was_raised_is_taken_away() {
        let (reader, writer) = std::io::pipe().unwrap();
        let put = || without_pipe_signal(|| Ok(rustix::io::write(writer.as_fd(), b"a")?));
        assert_eq!(put().unwrap(), 1);
        drop(reader);
        assert_eq!(put().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(!is_pending());
    }
}
