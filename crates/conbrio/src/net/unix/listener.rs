//! A socket that accepts connections from processes of the same machine.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use conbrio_reactor::{Source, op, os};

use super::socket_file::SocketFile;
use super::{ListenOptions, UnixStream, address};
use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

/// A socket that accepts Unix connections. Dropping it closes it: connections that were not accepted are
/// reset, and the file stays, unless [`ListenOptions::remove_on_drop`] says otherwise.
///
/// # Examples
///
/// ```
/// use conbrio::net::{UnixListener, UnixStream};
/// use conbrio::prelude::*;
///
/// # let folder = std::env::temp_dir().join(format!("conbrio-doc-listener-{}", std::process::id()));
/// # std::fs::create_dir(&folder)?;
/// # let path = folder.join("socket");
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let mut listener = UnixListener::bind(cx, &path)?;
///     cx.nursery(|cx, n| -> std::io::Result<()> {
///         n.spawn(|cx| {
///             let mut stream = UnixStream::connect(cx, &path)?;
///             Ok(stream.write_all(cx, b"hello")?)
///         });
///         let (mut stream, _) = listener.accept(cx)?;
///         let mut buf = [0; 5];
///         stream.read_exact(cx, &mut buf)?;
///         assert_eq!(&buf, b"hello");
///         Ok(())
///     })?;
///     Ok(())
/// })
/// .unwrap();
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    source: Source,
    /// To be removed with the listener.
    file: Option<SocketFile>,
}

impl UnixListener {
    /// Listens at `path`, which must not exist. For more see [`ListenOptions`].
    ///
    /// Looks at files, but never waits.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is something at the path, also if nobody listens there any more; `NotFound` if
    /// its folder does not exist; `InvalidInput` for a path of more than 107 bytes. `Unsupported` in a
    /// simulated run.
    pub fn bind(cx: &mut Cx, path: impl AsRef<Path>) -> Result<UnixListener, Error> {
        ListenOptions::new().bind(cx, path)
    }

    /// As [`bind`](UnixListener::bind), at an address: that of a path, or an abstract name.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// As [`bind`](UnixListener::bind).
    pub fn bind_addr(cx: &mut Cx, address: &SocketAddr) -> Result<UnixListener, Error> {
        ListenOptions::new().bind_addr(cx, address)
    }

    /// The next connection, and the address of the peer, who rarely has one.
    ///
    /// Costs two system calls if one waits.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no connection was accepted, and those that wait go on waiting.
    ///
    /// # Errors
    ///
    /// What accept(2) says, most often that the limit of open files is reached (`EMFILE`, `ENFILE`). The
    /// connection then waits on, and so the next call fails at once until a file is closed: wait a little
    /// before it.
    pub fn accept(&mut self, cx: &mut Cx) -> Result<(UnixStream, SocketAddr), Error> {
        let stream = UnixStream::from_source(perform(cx, &mut op::AcceptFd::new(&self.source))?);
        // The connection counts, also if its peer has gone and cannot be asked any more.
        let peer = stream.peer_addr().unwrap_or_else(|_| os::unix_address(None));
        Ok((stream, peer))
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address::local(&self.source)
    }

    /// A second listener for the same queue of connections, for another task: each connection goes to one
    /// of them. The file is removed with the first one, if at all.
    ///
    /// # Errors
    ///
    /// What dup(2) says, most often that the limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        Ok(UnixListener { source: self.source.try_clone()?, file: None })
    }

    /// Takes the error that the socket has met and nobody has seen (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        os::take_error(&self.source)
    }

    /// Takes over a listener of the standard library, which becomes non-blocking, and so do its clones. Its
    /// file stays.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        listener.set_nonblocking(true)?;
        Ok(UnixListener { source: Source::new(listener.into()), file: None })
    }

    /// Makes it a listener of the standard library, in blocking mode. Its clones are then blocking too, and
    /// would stop their workers: drop them first. The file stays.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        let listener = std::os::unix::net::UnixListener::from(OwnedFd::from(self));
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    pub(super) fn new(source: Source, file: Option<SocketFile>) -> UnixListener {
        UnixListener { source, file }
    }
}

/// For options of the socket. Do not accept from it, or make it blocking.
impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for UnixListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

/// The descriptor is in non-blocking mode. The file stays.
impl From<UnixListener> for OwnedFd {
    fn from(listener: UnixListener) -> OwnedFd {
        if let Some(file) = listener.file {
            file.keep();
        }
        listener.source.into_fd()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener")
            .field("fd", &self.source.as_raw_fd())
            .field("local", &self.local_addr().ok())
            .finish_non_exhaustive()
    }
}
