//! Writing without `SIGPIPE`.
//!
//! Writing to a pipe that nobody reads raises a signal, whose default is to end the process. Rust programs
//! ignore it from the start, but libraries in other programs cannot rely on that, and tools that end up in
//! pipelines like to have the default back. So no write of this crate raises it, whatever its action is.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::io::{Errno, ReadWriteFlags};

/// writev(2), with `EPIPE` and without its signal.
pub(super) fn write(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    match rustix::io::pwritev2(fd, bufs, AT_POSITION, NOSIGNAL) {
        // A kernel before 6.18 does not know the flag, and some files take no flags at all. A seccomp filter
        // may not know the call.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            without_signal(|| Ok(rustix::io::writev(fd, bufs)?))
        }
        written => Ok(written?),
    }
}

/// Calls `f` with the signal blocked for the thread, and takes it away if `f` has raised it: it goes to the
/// thread that writes, signal(7).
fn without_signal(f: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
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

/// Stands for "at the current position" with pwritev2(2).
const AT_POSITION: u64 = u64::MAX;

/// `RWF_NOSIGNAL` of linux/fs.h, since Linux 6.18.
const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    // The other way, with the flag, has its test in `tests/process`: a kernel without it would take this one.
    #[test]
    fn blocking_the_signal_keeps_it_away() {
        let came = Arc::new(AtomicBool::new(false));
        let id = signal_hook::flag::register(libc::SIGPIPE, Arc::clone(&came)).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let bufs = [IoSlice::new(b"a"), IoSlice::new(b"b")];
        let put = || without_signal(|| Ok(rustix::io::writev(writer.as_fd(), &bufs)?));
        assert_eq!(put().unwrap(), 2);
        drop(reader);
        assert_eq!(put().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(!is_pending() && !came.load(Ordering::SeqCst));
        // A plain write raises it, so that this test can fail.
        rustix::io::write(writer.as_fd(), b"x").unwrap_err();
        assert!(came.load(Ordering::SeqCst));
        signal_hook::low_level::unregister(id);
    }
}
