//! The file of a socket: taking a dead one away before, and one's own after.
//!
//! The invariant: a file is removed only if it is the one that was looked at, told by its number on its
//! device, so that the socket of a server that came later stays.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// A socket's file, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// Absolute, so that a change of the working directory does not matter.
    path: PathBuf,
    /// `None` if it is to stay.
    identity: Option<Identity>,
}

impl SocketFile {
    /// Looks at the file of a socket that was just bound to `path`.
    pub(super) fn bound_to(path: &Path) -> io::Result<SocketFile> {
        let path = std::path::absolute(path)?;
        let identity = Identity::of(&path)?;
        Ok(SocketFile { path, identity: Some(identity) })
    }

    /// Leaves the file where it is.
    pub(super) fn keep(mut self) {
        self.identity = None;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && Identity::of(&self.path).ok() == self.identity {
            // If it fails, the file stays: there is nobody to tell, and the next server replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Identity> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Identity { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Removes the socket at `path` if nobody listens there. What is no socket, and what somebody listens at,
/// stays; binding then says that the address is in use.
pub(super) fn remove_if_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() || !is_stale(path)? {
        return Ok(());
    }
    // Another server may do the same at this moment, and have bound its own socket since: so the file is
    // taken aside first, which only one can do, and put back if it is not the one that was looked at.
    let aside = aside(path);
    match std::fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    let looked_at = Identity { device: metadata.dev(), inode: metadata.ino() };
    if Identity::of(&aside)? == looked_at {
        return std::fs::remove_file(&aside);
    }
    match rustix::fs::renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        // A third one was faster.
        Err(Errno::EXIST) => std::fs::remove_file(&aside),
        renamed => Ok(renamed?),
    }
}

/// Whether nobody listens at the socket: connecting to it is refused.
fn is_stale(path: &Path) -> io::Result<bool> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    for kind in [SocketType::STREAM, SocketType::DGRAM] {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
        match rustix::net::connect(&socket, &address) {
            Err(Errno::CONNREFUSED) => return Ok(true),
            // It is of the other kind.
            Err(Errno::PROTOTYPE) => {}
            // Somebody is there, even if busy, or may be.
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// A name in the same folder that nobody else takes.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{:?}.stale", std::process::id(), std::thread::current().id()));
    path.with_file_name(name)
}
