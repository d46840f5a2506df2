//! How a file is opened.

use std::io;
use std::path::Path;

use conbrio_reactor::op::file;
use rustix::fs::CWD;

use super::File;
use super::error::with_path;
use super::path::{c_path, perform_at};
use crate::io::Error;
use crate::task::Cx;

/// How a file is opened: [`std::fs::OpenOptions`] for tasks.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{OpenOptions, TempDir};
/// use conbrio::io::Write;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let folder = TempDir::new(cx)?;
///     let path = folder.path().join("log");
///     for line in ["first\n", "second\n"] {
///         let mut log = OpenOptions::new().append(true).create(true).open(cx, &path)?;
///         log.write_all(cx, line.as_bytes())?;
///     }
///     assert_eq!(conbrio::fs::read_to_string(cx, &path)?, "first\nsecond\n");
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options open nothing until `open` is called"]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
}

impl OpenOptions {
    /// Everything off. A file that is made gets the mode 0o666, without what the process masks out.
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            custom_flags: 0,
        }
    }

    /// To read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self
    }

    /// To write, over what there is.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self
    }

    /// To write, at the end only, wherever that is at the moment of each write; also what
    /// [`File::write_at`] writes.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.append = append;
        self
    }

    /// Without what was in it.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self
    }

    /// Also if it does not exist.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self
    }

    /// Only if it does not exist, not even as a link that leads nowhere.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self
    }

    /// The mode of a file that is made, from which the process's mask is taken.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// More `O_*` flags. Those that choose between reading and writing are ignored.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.custom_flags = flags;
        self
    }

    /// Opens the file. It is closed in programs that this process starts.
    ///
    /// A FIFO waits here for its other side, and where threads do the work nothing can stop that: open it with
    /// `O_NONBLOCK` as a custom flag, and hand it to [`PipeReader`](crate::io::PipeReader) or to
    /// [`lowlevel::Fd`](crate::lowlevel::Fd).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was opened, made, or emptied.
    ///
    /// # Errors
    ///
    /// What open(2) says, with the path; `InvalidInput` if the options do not go together, or if the path has
    /// a zero byte.
    pub fn open(&self, cx: &mut Cx, path: impl AsRef<Path>) -> Result<File, Error> {
        let path = path.as_ref();
        let flags = match self.flags() {
            Ok(flags) => flags,
            Err(message) => {
                cx.checkpoint()?;
                let error = io::Error::new(io::ErrorKind::InvalidInput, message);
                return Err(with_path(OPEN, path, error).into());
            }
        };
        let text = c_path(cx, OPEN, path)?;
        let fd = perform_at(cx, OPEN, path, &mut file::Open::new(CWD, &text, flags, self.mode))?;
        Ok(File::from(fd))
    }

    fn flags(&self) -> Result<i32, &'static str> {
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => libc::O_RDONLY,
            (false, true, false) => libc::O_WRONLY,
            (true, true, false) => libc::O_RDWR,
            (false, _, true) => libc::O_WRONLY | libc::O_APPEND,
            (true, _, true) => libc::O_RDWR | libc::O_APPEND,
            (false, false, false) => return Err("ask for `read`, `write` or `append`"),
        };
        if self.truncate && self.append && !self.create_new {
            return Err("`truncate` does not go with `append`: leave one of them out");
        }
        if (self.truncate || self.create || self.create_new) && !(self.write || self.append) {
            return Err("what makes or empties a file needs `write` or `append`");
        }
        let creation = match (self.create, self.truncate, self.create_new) {
            (false, false, false) => 0,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
        };
        Ok(access | creation | (self.custom_flags & !libc::O_ACCMODE))
    }
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

const OPEN: &str = "open";
