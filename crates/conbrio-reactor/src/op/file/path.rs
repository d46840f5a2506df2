//! What is done with paths. A relative one begins at a directory, which may be the current one of the
//! process ([`rustix::fs::CWD`], `AT_FDCWD`).

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use super::{FileOperation, FileRequest, called, called_once, raw};
use crate::operation;

/// Opens a file: openat(2). Yields an fd that is close-on-exec.
///
/// Whoever gives it up after it has been cancelled must still take its completion in: an open that was
/// not stopped in time yields an fd. On a ring, a FIFO without a writer opens at once, as with
/// `O_NONBLOCK`.
#[derive(Debug)]
pub struct Open<'a> {
    directory: BorrowedFd<'a>,
    path: &'a CStr,
    flags: i32,
    mode: u32,
}

impl<'a> Open<'a> {
    /// Opens `path` with `O_*` flags; `mode` is that of a file that is made.
    pub fn new(directory: BorrowedFd<'a>, path: &'a CStr, flags: i32, mode: u32) -> Open<'a> {
        Open { directory, path, flags: flags | libc::O_CLOEXEC, mode }
    }
}

// SAFETY: the path and the directory are borrowed for as long as `self` lives.
unsafe impl FileOperation for Open<'_> {
    type Output = OwnedFd;

    fn perform(&mut self) -> io::Result<OwnedFd> {
        // SAFETY: the path is a string that ends with a zero byte.
        let call = || unsafe {
            libc::openat(raw(self.directory), self.path.as_ptr(), self.flags, self.mode)
        };
        let fd = if self.flags & libc::O_EXCL == 0 { called(call) } else { called_once(call) }?;
        // SAFETY: the system has just made it, for us alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Open {
            directory: raw(self.directory),
            path: self.path.as_ptr(),
            flags: self.flags,
            mode: self.mode,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<OwnedFd> {
        operation::count(raw)?;
        // SAFETY: it is not negative, so it is the new fd, and it is ours alone by the contract.
        Ok(unsafe { OwnedFd::from_raw_fd(raw) })
    }
}

/// Asks what is known about a file: statx(2).
pub struct Status<'a> {
    directory: BorrowedFd<'a>,
    path: &'a CStr,
    flags: i32,
    status: MaybeUninit<libc::statx>,
}

impl<'a> Status<'a> {
    /// Of the file at `path`, with `AT_*` flags, such as `AT_SYMLINK_NOFOLLOW`.
    pub fn at(directory: BorrowedFd<'a>, path: &'a CStr, flags: i32) -> Status<'a> {
        Status { directory, path, flags, status: MaybeUninit::zeroed() }
    }

    /// Of an open file.
    pub fn of(fd: BorrowedFd<'a>) -> Status<'a> {
        Status::at(fd, c"", libc::AT_EMPTY_PATH)
    }

    fn taken(&self) -> libc::statx {
        // SAFETY: it was zeroed at first, which is a valid status, and the system writes whole fields.
        unsafe { self.status.assume_init_read() }
    }
}

// SAFETY: the path and the directory are borrowed for as long as `self` lives; the status is owned for as
// long as it stays in place.
unsafe impl FileOperation for Status<'_> {
    type Output = libc::statx;

    fn perform(&mut self) -> io::Result<libc::statx> {
        let (directory, path) = (raw(self.directory), self.path.as_ptr());
        let status = self.status.as_mut_ptr();
        // SAFETY: the path is a string that ends with a zero byte, and the status is a valid place.
        called(|| unsafe { libc::statx(directory, path, self.flags, MASK, status) })?;
        Ok(self.taken())
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Status {
            directory: raw(self.directory),
            path: self.path.as_ptr(),
            flags: self.flags,
            mask: MASK,
            status: self.status.as_mut_ptr(),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<libc::statx> {
        operation::count(raw)?;
        Ok(self.taken())
    }
}

impl fmt::Debug for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status")
            .field("directory", &self.directory)
            .field("path", &self.path)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Everything that the system knows cheaply, and when the file was made.
const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// Gives a file another name: renameat2(2).
#[derive(Debug)]
pub struct Rename<'a> {
    from: (BorrowedFd<'a>, &'a CStr),
    to: (BorrowedFd<'a>, &'a CStr),
    flags: u32,
}

impl<'a> Rename<'a> {
    /// Renames `from` to `to`, each a directory and a path; `RENAME_*` flags.
    pub fn new(
        from: (BorrowedFd<'a>, &'a CStr),
        to: (BorrowedFd<'a>, &'a CStr),
        flags: u32,
    ) -> Rename<'a> {
        Rename { from, to, flags }
    }
}

// SAFETY: paths and directories are borrowed for as long as `self` lives.
unsafe impl FileOperation for Rename<'_> {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        let ((from, old), (to, new)) = (self.from, self.to);
        // SAFETY: the paths are strings that end with a zero byte.
        let call = || unsafe {
            let (old, new) = (old.as_ptr(), new.as_ptr());
            libc::syscall(libc::SYS_renameat2, raw(from), old, raw(to), new, self.flags) as i32
        };
        called_once(call).map(drop)
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Rename {
            from_directory: raw(self.from.0),
            from: self.from.1.as_ptr(),
            to_directory: raw(self.to.0),
            to: self.to.1.as_ptr(),
            flags: self.flags,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}

/// Removes a name of a file, or an empty directory: unlinkat(2).
#[derive(Debug)]
pub struct Remove<'a> {
    directory: BorrowedFd<'a>,
    path: &'a CStr,
    flags: i32,
}

impl<'a> Remove<'a> {
    /// Removes a name that is not a directory's.
    pub fn file(directory: BorrowedFd<'a>, path: &'a CStr) -> Remove<'a> {
        Remove { directory, path, flags: 0 }
    }

    /// Removes an empty directory.
    pub fn directory(directory: BorrowedFd<'a>, path: &'a CStr) -> Remove<'a> {
        Remove { directory, path, flags: libc::AT_REMOVEDIR }
    }
}

// SAFETY: the path and the directory are borrowed for as long as `self` lives.
unsafe impl FileOperation for Remove<'_> {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        let (directory, path) = (raw(self.directory), self.path.as_ptr());
        // SAFETY: the path is a string that ends with a zero byte.
        called_once(|| unsafe { libc::unlinkat(directory, path, self.flags) }).map(drop)
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Remove {
            directory: raw(self.directory),
            path: self.path.as_ptr(),
            flags: self.flags,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}

/// Makes a directory: mkdirat(2).
#[derive(Debug)]
pub struct MakeDirectory<'a> {
    directory: BorrowedFd<'a>,
    path: &'a CStr,
    mode: u32,
}

impl<'a> MakeDirectory<'a> {
    /// Makes `path`, with a mode from which the process's mask is taken.
    pub fn new(directory: BorrowedFd<'a>, path: &'a CStr, mode: u32) -> MakeDirectory<'a> {
        MakeDirectory { directory, path, mode }
    }
}

// SAFETY: the path and the directory are borrowed for as long as `self` lives.
unsafe impl FileOperation for MakeDirectory<'_> {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        let (directory, path) = (raw(self.directory), self.path.as_ptr());
        // SAFETY: the path is a string that ends with a zero byte.
        called_once(|| unsafe { libc::mkdirat(directory, path, self.mode) }).map(drop)
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::MakeDirectory {
            directory: raw(self.directory),
            path: self.path.as_ptr(),
            mode: self.mode,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}

/// Makes a symbolic link: symlinkat(2).
#[derive(Debug)]
pub struct Symlink<'a> {
    target: &'a CStr,
    directory: BorrowedFd<'a>,
    path: &'a CStr,
}

impl<'a> Symlink<'a> {
    /// Makes a link at `path` that says `target`.
    pub fn new(target: &'a CStr, directory: BorrowedFd<'a>, path: &'a CStr) -> Symlink<'a> {
        Symlink { target, directory, path }
    }
}

// SAFETY: both strings and the directory are borrowed for as long as `self` lives.
unsafe impl FileOperation for Symlink<'_> {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        let (directory, path) = (raw(self.directory), self.path.as_ptr());
        // SAFETY: both are strings that end with a zero byte.
        called_once(|| unsafe { libc::symlinkat(self.target.as_ptr(), directory, path) }).map(drop)
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Symlink {
            target: self.target.as_ptr(),
            directory: raw(self.directory),
            path: self.path.as_ptr(),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}

/// Gives a file one more name: linkat(2).
#[derive(Debug)]
pub struct Link<'a> {
    from: (BorrowedFd<'a>, &'a CStr),
    to: (BorrowedFd<'a>, &'a CStr),
    flags: i32,
}

impl<'a> Link<'a> {
    /// Makes `to` a name of the file at `from`, each a directory and a path; `AT_*` flags.
    pub fn new(
        from: (BorrowedFd<'a>, &'a CStr),
        to: (BorrowedFd<'a>, &'a CStr),
        flags: i32,
    ) -> Link<'a> {
        Link { from, to, flags }
    }
}

// SAFETY: paths and directories are borrowed for as long as `self` lives.
unsafe impl FileOperation for Link<'_> {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        let ((from, old), (to, new)) = (self.from, self.to);
        // SAFETY: the paths are strings that end with a zero byte.
        let call =
            || unsafe { libc::linkat(raw(from), old.as_ptr(), raw(to), new.as_ptr(), self.flags) };
        called_once(call).map(drop)
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Link {
            from_directory: raw(self.from.0),
            from: self.from.1.as_ptr(),
            to_directory: raw(self.to.0),
            to: self.to.1.as_ptr(),
            flags: self.flags,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;

    #[test]
    fn names_are_not_made_moved_or_removed_twice() {
        let (a, b) = ((CWD, c"a"), (CWD, c"b"));
        assert!(!Rename::new(a, b, 0).request().may_repeat());
        assert!(!Link::new(a, b, 0).request().may_repeat());
        assert!(!Symlink::new(c"a", CWD, c"b").request().may_repeat());
        assert!(!Remove::file(CWD, c"a").request().may_repeat());
        assert!(!MakeDirectory::new(CWD, c"a", 0).request().may_repeat());
        assert!(!Open::new(CWD, c"a", libc::O_CREAT | libc::O_EXCL, 0).request().may_repeat());
        assert!(Open::new(CWD, c"a", libc::O_CREAT, 0).request().may_repeat());
        assert!(Status::at(CWD, c"a", 0).request().may_repeat());
    }
}
