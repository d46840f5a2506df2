//! Writing without `SIGPIPE`.
//!
//! Writing to a pipe that nobody reads raises a signal, whose default is to end the process. Rust programs
//! ignore it from the start, but libraries in other programs cannot rely on that, and tools that end up in
//! pipelines like to have the default back. So no write of this crate raises it, whatever its action is.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use conbrio_reactor::without_pipe_signal;
use rustix::io::{Errno, ReadWriteFlags};

/// writev(2), with `EPIPE` and without its signal.
pub(super) fn write(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    match rustix::io::pwritev2(fd, bufs, AT_POSITION, NOSIGNAL) {
        // A kernel before 6.18 does not know the flag, and some files take no flags at all. A seccomp filter
        // may not know the call.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            without_pipe_signal(|| Ok(rustix::io::writev(fd, bufs)?))
        }
        written => Ok(written?),
    }
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
        let put = || without_pipe_signal(|| Ok(rustix::io::writev(writer.as_fd(), &bufs)?));
        assert_eq!(put().unwrap(), 2);
        drop(reader);
        assert_eq!(put().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(!came.load(Ordering::SeqCst));
        // A plain write raises it, so that this test can fail.
        rustix::io::write(writer.as_fd(), b"x").unwrap_err();
        assert!(came.load(Ordering::SeqCst));
        signal_hook::low_level::unregister(id);
    }
}
