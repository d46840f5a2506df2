//! Operations on files. A file is always ready, so that there is nothing to wait for but the operation
//! itself: a ring performs it, or a thread.
//!
//! ```text
//! Reactor::performs_files()   false (epoll): let a thread call `perform`
//!                             true  (a ring): submit_file(op, token) .. poll .. complete(raw result)
//! ```
//!
//! The invariant is the one of every operation: it takes effect at most once, and not at all if it ends
//! as cancelled. One that the kernel has begun cannot be stopped; it ends by itself, and its result
//! counts. So whoever reads or writes much does it in pieces ([`PIECE_BYTES`]), and a cancellation waits
//! for one piece at most.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

mod data;
mod path;
mod whole;

pub use data::{ReadAt, ReadVectoredAt, WriteAt, WriteVectoredAt};
pub use path::{Link, MakeDirectory, Open, Remove, Rename, Status, Symlink};
pub use whole::{Allocate, Close, Sync};

/// The most that one read or write of a file should move, so that its cancellation is not long in
/// coming: 64 MiB out of the page cache took 55 ms, so that this takes about one.
pub const PIECE_BYTES: usize = 1 << 20;

/// One operation on a file, whose arguments live in the caller's frame.
///
/// # Safety
///
/// The pointers inside what [`request`](FileOperation::request) returns are valid for the accesses that
/// the request's variant documents, from that call until `self` is moved, dropped, or used again, and
/// nothing else reaches that memory meanwhile. The same holds for the fds in it: they stay open.
pub unsafe trait FileOperation {
    /// What the operation yields.
    type Output;

    /// Performs the operation, or a part of it that counts as a whole, if the system can do that without
    /// waiting for a device. `None` says that it had no effect, and that it has to be performed or submitted.
    ///
    /// What fails is left to them as well, so that errors come from one place.
    fn try_now(&mut self) -> Option<Self::Output> {
        None
    }

    /// Performs the operation on the calling thread, which waits as long as it takes.
    ///
    /// # Errors
    ///
    /// What the system says. `Interrupted` only comes from an operation that may not be
    /// [repeated](FileRequest::may_repeat): whether it has had its effect is not known.
    fn perform(&mut self) -> io::Result<Self::Output>;

    /// Whether a wait for it may be cancelled. If not, it ends by itself, and soon.
    fn may_cancel(&self) -> bool {
        true
    }

    /// Describes the operation for a ring.
    fn request(&mut self) -> FileRequest;

    /// Turns the raw result of the request into the output.
    ///
    /// # Errors
    ///
    /// A negative `raw` is an error number and becomes that error.
    ///
    /// # Safety
    ///
    /// `raw` is the result that performing this operation's last [`request`](FileOperation::request)
    /// gave, and is passed once: it may carry ownership of an fd.
    unsafe fn complete(&mut self, raw: i32) -> io::Result<Self::Output>;
}

/// An operation on a file as plain data. Strings end with a zero byte and are valid for reads; all memory
/// is owned by the operation and must not be touched after its completion.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileRequest {
    /// pread(2): writes up to `length` bytes at `buffer`.
    Read {
        /// The file.
        fd: i32,
        /// Start of the buffer; valid for writes of `length` bytes.
        buffer: *mut u8,
        /// Size of the buffer.
        length: usize,
        /// Where in the file; the highest value is the file's own position.
        offset: u64,
    },
    /// pwrite(2): reads `length` bytes at `buffer`.
    Write {
        /// The file.
        fd: i32,
        /// Start of the data; valid for reads of `length` bytes.
        buffer: *const u8,
        /// Size of the data.
        length: usize,
        /// Where in the file; the highest value is the file's own position.
        offset: u64,
    },
    /// preadv(2): writes to `count` buffers in order.
    ReadVectored {
        /// The file.
        fd: i32,
        /// The list of buffers; valid for reads, and each buffer for writes.
        buffers: *const libc::iovec,
        /// Number of buffers, 1024 at most.
        count: usize,
        /// Where in the file; the highest value is the file's own position.
        offset: u64,
    },
    /// pwritev(2): reads `count` buffers in order.
    WriteVectored {
        /// The file.
        fd: i32,
        /// The list of buffers; valid for reads, and so is each buffer.
        buffers: *const libc::iovec,
        /// Number of buffers, 1024 at most.
        count: usize,
        /// Where in the file; the highest value is the file's own position.
        offset: u64,
    },
    /// fsync(2), or fdatasync(2).
    Sync {
        /// The file.
        fd: i32,
        /// Only the data, and what is needed to find it.
        only_data: bool,
    },
    /// fallocate(2).
    Allocate {
        /// The file.
        fd: i32,
        /// `FALLOC_FL_*` flags.
        mode: i32,
        /// Where in the file.
        offset: u64,
        /// How much.
        length: u64,
    },
    /// close(2). The fd is the kernel's from the moment that it begins.
    Close {
        /// The file.
        fd: i32,
    },
    /// openat(2): yields an fd.
    Open {
        /// Where a relative path begins.
        directory: i32,
        /// The path.
        path: *const libc::c_char,
        /// `O_*` flags.
        flags: i32,
        /// Of a file that is made.
        mode: u32,
    },
    /// statx(2): writes the status.
    Status {
        /// Where a relative path begins.
        directory: i32,
        /// The path; empty for the fd itself.
        path: *const libc::c_char,
        /// `AT_*` flags.
        flags: i32,
        /// `STATX_*` mask.
        mask: u32,
        /// Valid for writes.
        status: *mut libc::statx,
    },
    /// renameat2(2).
    Rename {
        /// Where a relative `from` begins.
        from_directory: i32,
        /// The old path.
        from: *const libc::c_char,
        /// Where a relative `to` begins.
        to_directory: i32,
        /// The new path.
        to: *const libc::c_char,
        /// `RENAME_*` flags.
        flags: u32,
    },
    /// unlinkat(2).
    Remove {
        /// Where a relative path begins.
        directory: i32,
        /// The path.
        path: *const libc::c_char,
        /// `AT_*` flags.
        flags: i32,
    },
    /// mkdirat(2).
    MakeDirectory {
        /// Where a relative path begins.
        directory: i32,
        /// The path.
        path: *const libc::c_char,
        /// Of the new directory.
        mode: u32,
    },
    /// symlinkat(2).
    Symlink {
        /// What the link says.
        target: *const libc::c_char,
        /// Where a relative path begins.
        directory: i32,
        /// The path of the link.
        path: *const libc::c_char,
    },
    /// linkat(2).
    Link {
        /// Where a relative `from` begins.
        from_directory: i32,
        /// The path of the file.
        from: *const libc::c_char,
        /// Where a relative `to` begins.
        to_directory: i32,
        /// The path of the new link.
        to: *const libc::c_char,
        /// `AT_*` flags.
        flags: i32,
    },
}

impl FileRequest {
    /// Whether an interruption (`EINTR`) has left no effect that a second attempt would trip over.
    ///
    /// File systems in user space and on other machines can be interrupted in the middle of anything. A name
    /// that is made, removed or moved may then have been so; a second attempt would report that as an error
    /// of its own. After close(2) the fd is gone in any case, and its number may be somebody else's.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        match self {
            FileRequest::Read { .. }
            | FileRequest::Write { .. }
            | FileRequest::ReadVectored { .. }
            | FileRequest::WriteVectored { .. }
            | FileRequest::Sync { .. }
            | FileRequest::Status { .. } => true,
            // One that must make the file would find the one that it has made.
            FileRequest::Open { flags, .. } => flags & libc::O_EXCL == 0,
            // A part of the room may have been given.
            FileRequest::Allocate { .. }
            | FileRequest::Close { .. }
            | FileRequest::Rename { .. }
            | FileRequest::Remove { .. }
            | FileRequest::MakeDirectory { .. }
            | FileRequest::Symlink { .. }
            | FileRequest::Link { .. } => false,
        }
    }
}

fn raw(fd: BorrowedFd<'_>) -> i32 {
    fd.as_raw_fd()
}

/// The result of a system call of the C library.
fn called_once(call: impl FnOnce() -> libc::c_int) -> io::Result<i32> {
    let result = call();
    if result >= 0 { Ok(result) } else { Err(io::Error::last_os_error()) }
}

/// As [`called_once`], begun again if a signal has interrupted it. Each round needs another signal.
fn called(mut call: impl FnMut() -> libc::c_int) -> io::Result<i32> {
    loop {
        match called_once(&mut call) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
