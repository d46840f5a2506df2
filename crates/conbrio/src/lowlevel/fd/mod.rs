//! Waiting for descriptors that somebody else made: pipes, terminals, eventfds, timerfds, inotify.
//!
//! Owns [`Fd`], [`wait_readable`] and [`wait_writable`]. The invariant: what a reactor watches is a duplicate
//! that belongs to the wait, never the number of a descriptor that somebody else may close. So nothing that
//! the owner of a descriptor does can make a wait look at another file.

mod check;
mod mode;
mod pipe_signal;
mod watched;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::cancel::OrCancelled;
use crate::task::Cx;

pub(crate) use watched::Watched;

/// What to wait for at a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Until a read would not wait: there is something, or the end, or an error.
    Readable,
    /// Until a write would not wait: there is room, or nobody reads any more, or an error.
    Writable,
}

/// Waits until a read from `fd` would not wait. Hang-ups and errors count as readable.
///
/// Nothing is read, and the descriptor's mode stays as it is. Several tasks may wait for one descriptor;
/// all of them are told. For many waits on the same one, [`Fd`] is cheaper.
///
/// Costs two system calls if it is readable at once, and four more if it has to wait.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// `InvalidInput` for a regular file or a directory: those are always ready. Besides, what poll(2), dup(2)
/// and epoll_ctl(2) say. `Unsupported` in a simulated run.
///
/// # Examples
///
/// ```
/// use conbrio::lowlevel::wait_readable;
/// use std::io::{Read, Write};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let (mut reader, mut writer) = std::io::pipe()?;
///     cx.nursery(|cx, n| {
///         n.spawn(move |_| writer.write_all(b"!"));
///         wait_readable(cx, &reader)?;
///         reader.read_exact(&mut [0])
///     })?;
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn wait_readable(cx: &mut Cx, fd: impl AsFd) -> Result<(), OrCancelled<io::Error>> {
    wait_once(cx, fd.as_fd(), Interest::Readable)
}

/// Waits until a write to `fd` would not wait. Hang-ups and errors count as writable.
///
/// As [`wait_readable`] in all else.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// As [`wait_readable`].
pub fn wait_writable(cx: &mut Cx, fd: impl AsFd) -> Result<(), OrCancelled<io::Error>> {
    wait_once(cx, fd.as_fd(), Interest::Writable)
}

fn wait_once(
    cx: &mut Cx,
    fd: BorrowedFd<'_>,
    interest: Interest,
) -> Result<(), OrCancelled<io::Error>> {
    cx.checkpoint()?;
    check::pollable(fd)?;
    if check::is_ready(fd, interest)? {
        return Ok(());
    }
    Watched::duplicate_of(fd)?.wait(cx, interest)
}

/// A descriptor that tasks wait for: anything that poll(2) takes, such as a pipe, a terminal, an eventfd, a
/// timerfd, or an inotify instance, with the type of another crate around it.
///
/// It can be read from and written to with the traits of [`io`](crate::io), also by two tasks at once
/// through `&Fd`, one in each direction. [`try_io`](Fd::try_io) does anything else with it.
///
/// While it is in an `Fd`, the descriptor is in non-blocking mode. That is a property of the open file, which
/// duplicates share, also those in other processes, as that of a terminal: whoever else reads or writes there
/// must expect it. The mode comes back when the last `Fd` of the open file is dropped.
///
/// Takes one more descriptor, a duplicate, so that closing the original elsewhere does no harm.
///
/// # Examples
///
/// An eventfd that another thread counts up:
///
/// ```
/// use conbrio::io::Read;
/// use conbrio::lowlevel::Fd;
/// use rustix::event::{EventfdFlags, eventfd};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let mut bell = Fd::new(eventfd(0, EventfdFlags::CLOEXEC)?)?;
///     let other = bell.get_ref().try_clone()?;
///     let thread = std::thread::spawn(move || rustix::io::write(other, &7_u64.to_ne_bytes()));
///     let mut count = [0; 8];
///     assert_eq!(bell.read(cx, &mut count)?, 8);
///     assert_eq!(u64::from_ne_bytes(count), 7);
///     thread.join().unwrap()?;
///     Ok(())
/// })
/// .unwrap();
/// ```
pub struct Fd<T> {
    /// First, so that it leaves the reactors before the descriptor closes.
    watched: Watched,
    inner: T,
}

impl<T: AsFd> Fd<T> {
    /// Takes a descriptor that can be polled, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a regular file or a directory: those are always ready, and reading them blocks the
    /// thread all the same. Besides, what dup(2) and fcntl(2) say.
    pub fn new(inner: T) -> io::Result<Fd<T>> {
        check::pollable(inner.as_fd())?;
        let watched = Watched::duplicate_of(inner.as_fd())?.nonblocking()?;
        Ok(Fd { watched, inner })
    }

    /// Calls `f` until it does not fail with `WouldBlock` any more, and waits for `interest` in between.
    ///
    /// `f` is one non-blocking step: once it has had an effect it must not say `WouldBlock`, and it should
    /// say so only if the descriptor is not ready for `interest`; else it is called again at once.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the last call of `f` has failed with `WouldBlock`, or there was none.
    ///
    /// # Errors
    ///
    /// Every other error of `f`, except `Interrupted`, after which it is called again; what
    /// [`wait`](Fd::wait) says.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::lowlevel::{Fd, Interest};
    /// use std::os::unix::net::UnixDatagram;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let (left, right) = UnixDatagram::pair()?;
    ///     let left = Fd::new(left)?;
    ///     right.send(b"hello")?;
    ///     let mut buf = [0; 8];
    ///     let count = left.try_io(cx, Interest::Readable, |left| left.recv(&mut buf))?;
    ///     assert_eq!(&buf[..count], b"hello");
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn try_io<R>(
        &self,
        cx: &mut Cx,
        interest: Interest,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> Result<R, OrCancelled<io::Error>> {
        self.watched.try_io(cx, interest, |_| f(&self.inner))
    }

    /// Waits until the descriptor is ready. It may be no longer when the caller gets to use it, if others use
    /// it, too: [`try_io`](Fd::try_io) waits again then.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another task waits for the same `interest` here, `NotConnected` after
    /// [`notify_closing`](Fd::notify_closing). Besides, what poll(2) and epoll_ctl(2) say. `Unsupported` in a
    /// simulated run.
    pub fn wait(&self, cx: &mut Cx, interest: Interest) -> Result<(), OrCancelled<io::Error>> {
        self.watched.wait(cx, interest)
    }
}

impl<T> Fd<T> {
    /// Ends every wait for this descriptor with an error, those of now and those to come.
    ///
    /// The way to tell tasks that share it that it is about to close, or that it was closed by other means.
    pub fn notify_closing(&self) {
        self.watched.notify_closing();
    }

    /// What it waits for.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Hands the descriptor back, in the mode it was in, unless an `Fd` of a duplicate needs the other.
    pub fn into_inner(self) -> T {
        self.inner
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }
}

impl<T: AsFd> AsFd for Fd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: fmt::Debug + AsFd> fmt::Debug for Fd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fd")
            .field("fd", &self.inner.as_fd().as_raw_fd())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
