//! What is known about a file.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use conbrio_reactor::op::file;
use rustix::fs::CWD;

use super::path::{c_path, perform_at};
use crate::cancel::OrCancelled;
use crate::io::Error;
use crate::task::Cx;

/// What is known about a file: [`std::fs::Metadata`], with what that has on Unix.
#[derive(Clone)]
pub struct Metadata {
    status: libc::statx,
}

/// What kind of file it is: [`std::fs::FileType`], with what that has on Unix.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileType {
    /// The `S_IFMT` bits of a mode; zero if nothing is known.
    bits: u32,
}

/// What is known about the file at `path`, or about the one that a symbolic link there leads to.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// What statx(2) says, with the path.
///
/// # Examples
///
/// ```
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let metadata = conbrio::fs::metadata(cx, "Cargo.toml")?;
///     assert!(metadata.is_file() && metadata.len() > 0);
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn metadata(cx: &mut Cx, path: impl AsRef<Path>) -> Result<Metadata, Error> {
    status(cx, path.as_ref(), 0)
}

/// What is known about the file at `path`, or about a symbolic link there itself.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// What statx(2) says, with the path.
pub fn symlink_metadata(cx: &mut Cx, path: impl AsRef<Path>) -> Result<Metadata, Error> {
    status(cx, path.as_ref(), libc::AT_SYMLINK_NOFOLLOW)
}

/// Whether there is a file at `path`; not if a symbolic link there leads nowhere.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// What statx(2) says to the question, with the path: that a directory on the way may not be searched, say.
pub fn exists(cx: &mut Cx, path: impl AsRef<Path>) -> Result<bool, Error> {
    match metadata(cx, path) {
        Ok(_) => Ok(true),
        Err(OrCancelled::Failed(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn status(cx: &mut Cx, path: &Path, flags: i32) -> Result<Metadata, Error> {
    let text = c_path(cx, LOOK_AT, path)?;
    let status = perform_at(cx, LOOK_AT, path, &mut file::Status::at(CWD, &text, flags))?;
    Ok(Metadata { status })
}

impl Metadata {
    pub(super) fn new(status: libc::statx) -> Metadata {
        Metadata { status }
    }

    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        FileType::of_mode(self.mode())
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a symbolic link. Only [`symlink_metadata`] finds those.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// The size in bytes.
    #[allow(clippy::len_without_is_empty)] // As in `std`: it is no collection.
    pub fn len(&self) -> u64 {
        self.status.stx_size
    }

    /// Who may do what with it.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// When it was changed last.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a time that is none.
    pub fn modified(&self) -> io::Result<SystemTime> {
        time(self.status.stx_mtime)
    }

    /// When it was read last, as far as the file system keeps account of that.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a time that is none.
    pub fn accessed(&self) -> io::Result<SystemTime> {
        time(self.status.stx_atime)
    }

    /// When it was made.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the file system does not know; `InvalidData` for a time that is none.
    pub fn created(&self) -> io::Result<SystemTime> {
        if self.status.stx_mask & libc::STATX_BTIME == 0 {
            let message = "the file system does not know when a file was made";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        time(self.status.stx_btime)
    }

    /// The number of the device that it is on.
    pub fn dev(&self) -> u64 {
        libc::makedev(self.status.stx_dev_major, self.status.stx_dev_minor)
    }

    /// Its number on that device.
    pub fn ino(&self) -> u64 {
        self.status.stx_ino
    }

    /// Its kind and permissions as one number.
    pub fn mode(&self) -> u32 {
        self.status.stx_mode.into()
    }

    /// How many names it has.
    pub fn nlink(&self) -> u64 {
        self.status.stx_nlink.into()
    }

    /// The number of the user who owns it.
    pub fn uid(&self) -> u32 {
        self.status.stx_uid
    }

    /// The number of the group that owns it.
    pub fn gid(&self) -> u32 {
        self.status.stx_gid
    }

    /// How much room it takes, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        self.status.stx_blocks
    }
}

impl FileType {
    pub(super) fn of_mode(mode: u32) -> FileType {
        FileType { bits: mode & libc::S_IFMT }
    }

    pub(super) fn of_std(kind: std::fs::FileType) -> FileType {
        use std::os::unix::fs::FileTypeExt;

        let bits = match kind {
            _ if kind.is_file() => libc::S_IFREG,
            _ if kind.is_dir() => libc::S_IFDIR,
            _ if kind.is_symlink() => libc::S_IFLNK,
            _ if kind.is_fifo() => libc::S_IFIFO,
            _ if kind.is_socket() => libc::S_IFSOCK,
            _ if kind.is_block_device() => libc::S_IFBLK,
            _ if kind.is_char_device() => libc::S_IFCHR,
            _ => 0,
        };
        FileType { bits }
    }

    pub(super) const UNKNOWN: FileType = FileType { bits: 0 };

    /// Whether it is a directory.
    pub fn is_dir(self) -> bool {
        self.bits == libc::S_IFDIR
    }

    /// Whether it is a regular file.
    pub fn is_file(self) -> bool {
        self.bits == libc::S_IFREG
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(self) -> bool {
        self.bits == libc::S_IFLNK
    }

    /// Whether it is a FIFO.
    pub fn is_fifo(self) -> bool {
        self.bits == libc::S_IFIFO
    }

    /// Whether it is a socket.
    pub fn is_socket(self) -> bool {
        self.bits == libc::S_IFSOCK
    }

    /// Whether it is a block device.
    pub fn is_block_device(self) -> bool {
        self.bits == libc::S_IFBLK
    }

    /// Whether it is a character device.
    pub fn is_char_device(self) -> bool {
        self.bits == libc::S_IFCHR
    }
}

impl fmt::Debug for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.bits {
            libc::S_IFREG => "file",
            libc::S_IFDIR => "directory",
            libc::S_IFLNK => "symbolic link",
            libc::S_IFIFO => "fifo",
            libc::S_IFSOCK => "socket",
            libc::S_IFBLK => "block device",
            libc::S_IFCHR => "character device",
            _ => "unknown",
        })
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("file_type", &self.file_type())
            .field("len", &self.len())
            .field("mode", &format_args!("{:#o}", self.mode() & 0o7777))
            .field("modified", &self.modified().ok())
            .finish_non_exhaustive()
    }
}

fn time(stamp: libc::statx_timestamp) -> io::Result<SystemTime> {
    let seconds = Duration::from_secs(stamp.tv_sec.unsigned_abs());
    let base = match stamp.tv_sec >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(seconds),
        false => SystemTime::UNIX_EPOCH.checked_sub(seconds),
    };
    base.and_then(|base| base.checked_add(Duration::from_nanos(stamp.tv_nsec.into()))).ok_or_else(
        || {
            let message = format!("{} seconds since 1970 are no time", stamp.tv_sec);
            io::Error::new(io::ErrorKind::InvalidData, message)
        },
    )
}

const LOOK_AT: &str = "look at";
