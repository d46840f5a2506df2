//! What is in a directory.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use super::error::with_path;
use super::path::on_thread;
use super::{FileType, Metadata, symlink_metadata};
use crate::io::Error;
use crate::task::Cx;

/// What is in the directory at `path`, in the order that the system gives, without `.` and `..`.
///
/// What is added or removed meanwhile is seen, or not.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel nothing was opened.
///
/// # Errors
///
/// What opendir(3) says, with the path.
///
/// # Examples
///
/// ```
/// use conbrio::fs;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let mut names = Vec::new();
///     let mut entries = fs::read_dir(cx, ".")?;
///     while let Some(entry) = entries.next(cx)? {
///         names.push(entry.file_name().to_owned());
///     }
///     assert!(names.iter().any(|name| name == "Cargo.toml"));
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn read_dir(cx: &mut Cx, path: impl AsRef<Path>) -> Result<ReadDir, Error> {
    let path = path.as_ref();
    let open = || -> io::Result<ReadDir> {
        let inner = Some(std::fs::read_dir(path)?);
        let mut dir = ReadDir { path: path.to_owned(), inner, ready: VecDeque::new(), error: None };
        // Already here, because it is the same thread.
        dir.fetch();
        Ok(dir)
    };
    on_thread(cx, READ, path, open)
}

/// What is in a directory, one entry after the other. Made by [`read_dir`].
///
/// Entries come in batches from a thread, which may read ahead of what was asked for.
pub struct ReadDir {
    path: PathBuf,
    /// `None` when everything was read.
    inner: Option<std::fs::ReadDir>,
    ready: VecDeque<DirEntry>,
    /// Comes after what is ready.
    error: Option<io::Error>,
}

/// One entry of a directory.
#[derive(Clone)]
pub struct DirEntry {
    path: PathBuf,
    file_type: FileType,
    ino: u64,
}

impl ReadDir {
    /// The next entry; `None` when there are no more.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing is lost: the next call goes on.
    ///
    /// # Errors
    ///
    /// What readdir(3) says, with the path of the directory.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<DirEntry>, Error> {
        cx.checkpoint()?;
        if self.ready.is_empty() && self.error.is_none() && self.inner.is_some() {
            cx.blocking(|| self.fetch())?;
        }
        match (self.ready.pop_front(), self.error.take()) {
            (Some(entry), error) => {
                self.error = error;
                Ok(Some(entry))
            }
            (None, Some(error)) => Err(with_path(READ, &self.path, error).into()),
            (None, None) => Ok(None),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the rest, and closes the directory.
    pub(super) fn finish(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.blocking(|| {
            // Ends with the directory, or the first error.
            while self.inner.is_some() && self.error.is_none() {
                self.fetch();
            }
            self.inner = None;
        })?)
    }

    /// Whether it holds a descriptor.
    pub(super) fn is_open(&self) -> bool {
        self.inner.is_some()
    }

    /// Reads a batch.
    fn fetch(&mut self) {
        let Some(inner) = &mut self.inner else { return };
        for _ in 0..BATCH {
            match inner.next() {
                Some(Ok(entry)) => self.ready.push_back(DirEntry::new(&entry)),
                Some(Err(error)) => {
                    self.error = Some(error);
                    return;
                }
                None => {
                    self.inner = None;
                    return;
                }
            }
        }
    }
}

impl DirEntry {
    fn new(entry: &std::fs::DirEntry) -> DirEntry {
        // Where the directory does not say it, the file was asked, and may have gone since.
        let file_type = entry.file_type().map_or(FileType::UNKNOWN, FileType::of_std);
        DirEntry { path: entry.path(), file_type, ino: entry.ino() }
    }

    /// The path: that of the directory, as it was given, and the name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path.
    pub fn into_path(self) -> PathBuf {
        self.path
    }

    /// The name. It is any bytes but `/` and zero.
    pub fn file_name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// What kind of file it is; a symbolic link is not followed. None of all kinds if it was removed before
    /// that could be found out.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// The number of the file on its device.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// What is known about the file; a symbolic link is not followed.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// What statx(2) says, with the path.
    pub fn metadata(&self, cx: &mut Cx) -> Result<Metadata, Error> {
        symlink_metadata(cx, &self.path)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirEntry")
            .field("path", &self.path)
            .field("file_type", &self.file_type)
            .finish_non_exhaustive()
    }
}

const READ: &str = "read the directory";
/// How many entries a thread reads at once: so many that the way to the thread costs little for each.
const BATCH: usize = 128;
