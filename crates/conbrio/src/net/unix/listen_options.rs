//! How a Unix listener is made.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use conbrio_reactor::Source;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::socket_file::{SocketFile, remove_if_stale};
use super::{UnixListener, address};
use crate::io::Error;
use crate::task::Cx;

/// How a [`UnixListener`] is made.
///
/// # Examples
///
/// A service that may have crashed before, and leaves nothing behind this time:
///
/// ```
/// use conbrio::net::unix::ListenOptions;
///
/// # let folder = std::env::temp_dir().join(format!("conbrio-doc-options-{}", std::process::id()));
/// # std::fs::create_dir(&folder)?;
/// # let path = folder.join("socket");
/// conbrio::run(|cx| -> std::io::Result<()> {
///     // What a server that was killed has left.
///     drop(std::os::unix::net::UnixListener::bind(&path)?);
///
///     let options = ListenOptions::new().replace_stale(true).remove_on_drop(true).mode(0o600);
///     let listener = options.bind(cx, &path)?;
///     assert!(options.bind(cx, &path).is_err()); // somebody listens there: this one
///     drop(listener);
///     assert!(!path.exists());
///     Ok(())
/// })
/// .unwrap();
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `bind` is called"]
pub struct ListenOptions {
    backlog: u32,
    replace_stale: bool,
    remove_on_drop: bool,
    mode: Option<u32>,
}

impl ListenOptions {
    /// A backlog of 4096, and the socket's file is nobody's concern: it must not exist before, and stays.
    pub fn new() -> ListenOptions {
        ListenOptions { backlog: 4096, replace_stale: false, remove_on_drop: false, mode: None }
    }

    /// How many connections may wait to be accepted. The system takes at most `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.backlog = connections;
        self
    }

    /// Whether a socket at the path that nobody listens at any more is removed first. A file that is no
    /// socket, and a socket that somebody listens at, stay, and the address is in use.
    pub fn replace_stale(mut self, replace: bool) -> ListenOptions {
        self.replace_stale = replace;
        self
    }

    /// Whether dropping the listener removes the socket's file, if it is still there and still its own.
    pub fn remove_on_drop(mut self, remove: bool) -> ListenOptions {
        self.remove_on_drop = remove;
        self
    }

    /// The permissions of the socket's file, such as `0o600`: who may write to it may connect. Where it is
    /// not set, all that the process's umask lets through. Nobody can connect before they are set.
    pub fn mode(mut self, mode: u32) -> ListenOptions {
        self.mode = Some(mode);
        self
    }

    /// As [`UnixListener::bind`], with these options.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound or removed.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`].
    pub fn bind(&self, cx: &mut Cx, path: impl AsRef<Path>) -> Result<UnixListener, Error> {
        cx.checkpoint()?;
        let address = address::of_path("listen at", path.as_ref())?;
        self.bind_addr(cx, &address)
    }

    /// As [`bind`](ListenOptions::bind), at an address: that of a path, or an abstract name, which has no
    /// file.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound or removed.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`].
    pub fn bind_addr(&self, cx: &mut Cx, address: &SocketAddr) -> Result<UnixListener, Error> {
        cx.checkpoint()?;
        address::real(cx, "listen at", address)?;
        let (source, file) =
            self.listen(address).map_err(|error| address::named("listen at", address, error))?;
        Ok(UnixListener::new(source, file))
    }

    fn listen(&self, address: &SocketAddr) -> io::Result<(Source, Option<SocketFile>)> {
        let path = address.as_pathname();
        if let Some(path) = path.filter(|_| self.replace_stale) {
            remove_if_stale(path)?;
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        if let Some(mode) = self.mode.filter(|_| path.is_some()) {
            // The file gets the mode of the socket, less the umask: never more than is wanted.
            rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
        }
        rustix::net::bind(&socket, &address::to_system(address)?)?;
        // From here on, an error takes the new file away.
        let mut file = path.map(SocketFile::bound_to).transpose()?;
        if let (Some(path), Some(mode)) = (path, self.mode) {
            // What the umask has taken.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        rustix::net::listen(&socket, i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        if !self.remove_on_drop
            && let Some(file) = file.take()
        {
            file.keep();
        }
        Ok((Source::new(socket), file))
    }
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions::new()
    }
}
