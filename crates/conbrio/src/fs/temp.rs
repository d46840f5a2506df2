//! Files and directories that go away by themselves.
//!
//! The invariant: from the moment that one exists in the file system, its guard exists, too; so cancellations and
//! panics leave nothing behind. (The end of the whole process does.)

use std::ffi::OsString;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use conbrio_reactor::op::file;
use rustix::fs::CWD;

use super::error::with_path;
use super::path::{c_path, perform_at, perform_with_two};
use super::tree::remove_tree;
use super::{File, OpenOptions, remove_dir_all, remove_file};
use crate::cancel::OrCancelled;
use crate::io::Error;
use crate::task::Cx;

/// A file that is removed when this is dropped, unless it is [persisted](TempFile::persist) or
/// [kept](TempFile::keep).
///
/// Its name cannot be guessed, and only the user who runs the program may open it. It is used like the [`File`]
/// in it.
///
/// Dropping it blocks the worker for the time of unlink(2), which is short on local file systems;
/// [`close`](TempFile::close) does not, and reports errors.
///
/// # Examples
///
/// A copy that is there as a whole, or not at all:
///
/// ```
/// use conbrio::fs::{self, File, TempDir, TempFile};
/// use conbrio::io;
/// use conbrio::prelude::*;
/// use std::path::Path;
///
/// fn download(cx: &mut Cx, from: &mut dyn io::Read, to: &Path) -> std::io::Result<()> {
///     let mut file = TempFile::new_in(cx, to.parent().unwrap())?;
///     io::copy(cx, from, &mut *file)?;
///     file.persist(cx, to)?;
///     Ok(())
/// }
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let folder = TempDir::new(cx)?;
///     let path = folder.path().join("page");
///     download(cx, &mut &b"<html>"[..], &path)?;
///     assert_eq!(fs::read(cx, &path)?, b"<html>");
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct TempFile {
    file: File,
    name: Name,
}

/// A directory that is removed with everything in it when this is dropped, unless it is [kept](TempDir::keep).
///
/// Its name cannot be guessed, and only the user who runs the program may look into it.
///
/// Dropping it blocks the worker until everything is removed, and errors are lost; [`close`](TempDir::close)
/// lets a thread do it, and reports them.
#[derive(Debug)]
pub struct TempDir {
    name: Name,
}

impl TempFile {
    /// Makes a file in the directory for temporary files ([`std::env::temp_dir`]), to read and write it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was made.
    ///
    /// # Errors
    ///
    /// What open(2) says, with the path.
    pub fn new(cx: &mut Cx) -> Result<TempFile, Error> {
        TempFile::new_in(cx, std::env::temp_dir())
    }

    /// Makes a file in a directory of your choice, such as the one that it is to be moved to.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was made.
    ///
    /// # Errors
    ///
    /// What open(2) says, with the path.
    pub fn new_in(cx: &mut Cx, dir: impl AsRef<Path>) -> Result<TempFile, Error> {
        TempFile::with_mode(cx, dir.as_ref(), 0o600)
    }

    pub(super) fn with_mode(cx: &mut Cx, dir: &Path, mode: u32) -> Result<TempFile, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        until_new(dir, |path| {
            let file = options.open(cx, &path)?;
            Ok(TempFile { file, name: Name::of(path, Kind::File) })
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.name.path()
    }

    /// Gives it another name on the same file system, where it stays. What has that name is replaced.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing has happened to the other name, and this file is removed.
    ///
    /// # Errors
    ///
    /// As [`rename`](super::rename). This file is removed then.
    pub fn persist(self, cx: &mut Cx, to: impl AsRef<Path>) -> Result<File, Error> {
        self.persist_with(cx, to.as_ref(), 0)
    }

    /// As [`persist`](TempFile::persist), unless there is a file of that name.
    ///
    /// # Cancellation
    ///
    /// As [`persist`](TempFile::persist).
    ///
    /// # Errors
    ///
    /// As [`rename`](super::rename); `AlreadyExists`. This file is removed then.
    pub fn persist_new(self, cx: &mut Cx, to: impl AsRef<Path>) -> Result<File, Error> {
        self.persist_with(cx, to.as_ref(), libc::RENAME_NOREPLACE)
    }

    fn persist_with(mut self, cx: &mut Cx, to: &Path, flags: u32) -> Result<File, Error> {
        const MOVE: &str = "move";
        let (old, new) = (c_path(cx, MOVE, self.path())?, c_path(cx, MOVE, to)?);
        let mut op = file::Rename::new((CWD, &old), (CWD, &new), flags);
        perform_with_two(cx, MOVE, self.path(), to, &mut op)?;
        self.name.release();
        Ok(self.file)
    }

    /// Lets it stay where it is.
    pub fn keep(mut self) -> (File, PathBuf) {
        let path = self.name.release();
        (self.file, path)
    }

    /// Removes it now, and reports what the system says.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. The file is removed also on cancel: this is dropped.
    ///
    /// # Errors
    ///
    /// What unlinkat(2) says, with the path.
    pub fn close(mut self, cx: &mut Cx) -> Result<(), Error> {
        remove_file(cx, self.name.path())?;
        self.name.release();
        Ok(())
    }
}

impl TempDir {
    /// Makes a directory in the one for temporary files ([`std::env::temp_dir`]).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was made.
    ///
    /// # Errors
    ///
    /// What mkdirat(2) says, with the path.
    pub fn new(cx: &mut Cx) -> Result<TempDir, Error> {
        TempDir::new_in(cx, std::env::temp_dir())
    }

    /// Makes a directory in another one.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was made.
    ///
    /// # Errors
    ///
    /// What mkdirat(2) says, with the path.
    pub fn new_in(cx: &mut Cx, dir: impl AsRef<Path>) -> Result<TempDir, Error> {
        until_new(dir.as_ref(), |path| {
            let text = c_path(cx, MAKE, &path)?;
            perform_at(cx, MAKE, &path, &mut file::MakeDirectory::new(CWD, &text, 0o700))?;
            Ok(TempDir { name: Name::of(path, Kind::Directory) })
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.name.path()
    }

    /// Lets it stay.
    pub fn keep(mut self) -> PathBuf {
        self.name.release()
    }

    /// Removes it now, with everything in it, and reports what the system says.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. It is removed also on cancel: this is dropped.
    ///
    /// # Errors
    ///
    /// As [`remove_dir_all`]. What is left is tried once more, when this is dropped.
    pub fn close(mut self, cx: &mut Cx) -> Result<(), Error> {
        remove_dir_all(cx, self.name.path())?;
        self.name.release();
        Ok(())
    }
}

impl Deref for TempFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl DerefMut for TempFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.file
    }
}

impl AsRef<Path> for TempDir {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

/// The name of something that is removed with it.
struct Name {
    /// `None` when it was given up. Absolute, as far as that is known: the process may move.
    path: Option<PathBuf>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Directory,
}

impl Name {
    fn of(path: PathBuf, kind: Kind) -> Name {
        Name { path: Some(path), kind }
    }

    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    fn release(&mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // There is nobody to tell.
            let _ = match self.kind {
                Kind::File => std::fs::remove_file(path).map_err(Error::from),
                Kind::Directory => remove_tree(path, || Ok(())),
            };
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

/// Tries names until `make` has made something of that name.
fn until_new<T>(dir: &Path, mut make: impl FnMut(PathBuf) -> Result<T, Error>) -> Result<T, Error> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    for _ in 0..TRIES {
        match make(dir.join(random_name())) {
            Err(OrCancelled::Failed(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
    }
    let message = format!("{TRIES} random names are all taken");
    let error = io::Error::new(io::ErrorKind::AlreadyExists, message);
    Err(with_path("make a temporary file in", &dir, error).into())
}

fn random_name() -> OsString {
    // Its keys come from the system's random numbers, and differ for each that is made.
    let random = RandomState::new().build_hasher().finish();
    format!(".tmp-{random:016x}").into()
}

const MAKE: &str = "make";
/// With 64 bits at random one is enough, unless somebody plays tricks.
const TRIES: usize = 64;
