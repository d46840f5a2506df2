//! An open file: what concerns it as a whole. Its bytes are in `data.rs`.

use std::fs::{FileTimes, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use conbrio_reactor::op::file;

use super::error::{failed, with_fd, with_path};
use super::path::on_thread_with_fd;
use super::{Metadata, OpenOptions};
use crate::io::{Error, With};
use crate::lowlevel::perform_file;
use crate::task::Cx;

/// An open file: [`std::fs::File`] for tasks.
///
/// Read and write it at its own position by the traits [`Read`](crate::io::Read),
/// [`Write`](crate::io::Write) and [`Seek`](crate::io::Seek), which `&File` has as well, or at any place by
/// [`read_at`](File::read_at) and [`write_at`](File::write_at). A call moves one mebibyte at most, so that a
/// cancellation waits for no more than that. For many small steps put it into a
/// [`BufReader`](crate::io::BufReader) or a [`BufWriter`](crate::io::BufWriter).
///
/// What is in the memory of the system is read at once. For the rest, a ring does the work if the runtime has
/// one, and a thread if not; the task waits.
///
/// It is closed when it is dropped, and errors of that are lost: [`close`](File::close) reports them, and
/// [`sync_all`](File::sync_all) what can go wrong later.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{File, TempDir};
/// use conbrio::io::{BufRead, BufReader, Write};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let folder = TempDir::new(cx)?;
///     let path = folder.path().join("list");
///     let mut file = File::create(cx, &path)?;
///     file.write_all(cx, b"pear\napple\n")?;
///     file.close(cx)?;
///
///     let mut lines = BufReader::new(File::open(cx, &path)?).lines();
///     assert_eq!(lines.next(cx)?.as_deref(), Some("pear"));
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct File {
    inner: std::fs::File,
}

impl File {
    /// Opens a file to read it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was opened.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    pub fn open(cx: &mut Cx, path: impl AsRef<Path>) -> Result<File, Error> {
        OpenOptions::new().read(true).open(cx, path)
    }

    /// Opens a file to write it: makes it, or empties it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was made or emptied.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    pub fn create(cx: &mut Cx, path: impl AsRef<Path>) -> Result<File, Error> {
        OpenOptions::new().write(true).create(true).truncate(true).open(cx, path)
    }

    /// Makes a file that must not exist yet, to read and write it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was made.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`]; `AlreadyExists`.
    pub fn create_new(cx: &mut Cx, path: impl AsRef<Path>) -> Result<File, Error> {
        OpenOptions::new().read(true).write(true).create_new(true).open(cx, path)
    }

    /// Other ways to open a file.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Closes the file, and reports what the system says to it: some file systems report only now what has gone
    /// wrong with writing.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. The file is closed also on cancel: it is dropped.
    ///
    /// # Errors
    ///
    /// What close(2) says. The file is closed then, too.
    pub fn close(self, cx: &mut Cx) -> Result<(), Error> {
        let number = self.as_raw_fd();
        perform_file(cx, &mut file::Close::new(self.inner.into())).map_err(|error| {
            // Its path is not known any more.
            let add = |error| with_path("close", Path::new(&format!("fd {number}")), error);
            failed(error, add)
        })
    }

    /// What is known about the file.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// What statx(2) says.
    pub fn metadata(&self, cx: &mut Cx) -> Result<Metadata, Error> {
        let status = self.perform(cx, "look at", &mut file::Status::of(self.as_fd()))?;
        Ok(Metadata::new(status))
    }

    /// Waits until the file is on the device as it is, with all that is known about it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, what was written is in the system's memory as before. What the device
    /// has begun is waited for.
    ///
    /// # Errors
    ///
    /// What fsync(2) says. What could not be written may be lost then, and a second call does not tell.
    pub fn sync_all(&self, cx: &mut Cx) -> Result<(), Error> {
        self.perform(cx, "sync", &mut file::Sync::all(self.as_fd()))
    }

    /// Waits until the data is on the device, with as much of what is known about the file as is needed to find
    /// it.
    ///
    /// # Cancellation
    ///
    /// As [`sync_all`](File::sync_all).
    ///
    /// # Errors
    ///
    /// What fdatasync(2) says.
    pub fn sync_data(&self, cx: &mut Cx) -> Result<(), Error> {
        self.perform(cx, "sync the data of", &mut file::Sync::data(self.as_fd()))
    }

    /// Cuts the file off at `size` bytes, or makes it longer with zeros that take no room.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the file is as it was.
    ///
    /// # Errors
    ///
    /// What ftruncate(2) says.
    pub fn set_len(&self, cx: &mut Cx, size: u64) -> Result<(), Error> {
        on_thread_with_fd(cx, "set the size of", self, || self.inner.set_len(size))
    }

    /// Gives `length` bytes at `offset` room on the device, so that writing there does not fail for want of it.
    /// The file grows if they reach beyond its end.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing that a reader could see has changed; some room may have been
    /// given.
    ///
    /// # Errors
    ///
    /// What fallocate(2) says: `StorageFull`, or `Unsupported` on some file systems.
    pub fn allocate(&self, cx: &mut Cx, offset: u64, length: u64) -> Result<(), Error> {
        let op = &mut file::Allocate::new(self.as_fd(), offset, length);
        self.perform(cx, "give room to", op)
    }

    /// Says who may do what with the file.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing has changed.
    ///
    /// # Errors
    ///
    /// What fchmod(2) says.
    pub fn set_permissions(&self, cx: &mut Cx, permissions: Permissions) -> Result<(), Error> {
        let set = || self.inner.set_permissions(permissions);
        on_thread_with_fd(cx, "set the permissions of", self, set)
    }

    /// Sets when the file was read and changed last.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing has changed.
    ///
    /// # Errors
    ///
    /// What futimens(2) says.
    pub fn set_times(&self, cx: &mut Cx, times: FileTimes) -> Result<(), Error> {
        on_thread_with_fd(cx, "set the times of", self, || self.inner.set_times(times))
    }

    /// A second handle of the same open file: with the same position, and the same lock. Does not wait.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says: the limit of open files.
    pub fn try_clone(&self) -> io::Result<File> {
        let clone = self.inner.try_clone();
        Ok(File { inner: clone.map_err(|error| with_fd("duplicate", self.as_fd(), error))? })
    }

    /// Joins the file with `cx`: for libraries that know only [`std::io::Read`], [`std::io::Write`] and
    /// [`std::io::Seek`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::fs::File;
    /// use std::io::{Read, Seek, SeekFrom};
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let mut file = File::open(cx, "Cargo.toml")?;
    ///     let mut plain = std::io::BufReader::new(file.with(cx));
    ///     plain.seek(SeekFrom::Start(1))?;
    ///     let mut word = [0; 7];
    ///     plain.read_exact(&mut word)?;
    ///     assert_eq!(&word, b"package");
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, File> {
        With::new(self, cx)
    }

    /// Takes an open file of the standard library. Does not wait.
    pub fn from_std(file: std::fs::File) -> File {
        File { inner: file }
    }

    /// As a file of the standard library. Does not wait.
    pub fn into_std(self) -> std::fs::File {
        self.inner
    }

    pub(super) fn std(&self) -> &std::fs::File {
        &self.inner
    }

    /// Performs an operation on this file, and says so if it fails.
    pub(super) fn perform<O>(
        &self,
        cx: &mut Cx,
        operation: &'static str,
        op: &mut O,
    ) -> Result<O::Output, Error>
    where
        O: file::FileOperation + Send,
        O::Output: Send,
    {
        perform_file(cx, op)
            .map_err(|error| failed(error, |error| with_fd(operation, self.as_fd(), error)))
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::from_std(file)
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.into_std()
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File { inner: fd.into() }
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.inner.into()
    }
}
