//! Changes of files, as a stream of events: inotify(7).

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::error::with_path;
use super::path::on_thread;
use crate::io::Error;
use crate::lowlevel::{Fd, Interest};
use crate::task::Cx;

/// Watches files and directories.
///
/// Of a directory it tells what happens to the files in it, but not in directories further down:
/// [`add`](Watch::add) those, too. It sees what is done on this machine, and not what others do on a network file
/// system. Does not work in a simulated run.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{self, Change, TempDir, Watch};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let folder = TempDir::new(cx)?;
///     let mut watch = Watch::new()?;
///     watch.add(cx, folder.path())?;
///     fs::write(cx, folder.path().join("new"), "")?;
///     let event = watch.next(cx)?;
///     assert_eq!(event.change(), Change::Created);
///     assert_eq!(event.path(), folder.path().join("new"));
///     Ok(())
/// })
/// .unwrap();
/// ```
pub struct Watch {
    fd: Fd<OwnedFd>,
    /// What is watched, by the number that the system gave it.
    paths: BTreeMap<i32, PathBuf>,
    ready: VecDeque<WatchEvent>,
}

/// Something that has happened to a file.
#[derive(Clone, PartialEq, Eq)]
pub struct WatchEvent {
    path: PathBuf,
    change: Change,
    cookie: u32,
    is_dir: bool,
}

/// What has happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// It was made in a watched directory.
    Created,
    /// Bytes were written to it, or it was cut off.
    Modified,
    /// One who had it open to write has closed it: what was to be written has been.
    Written,
    /// Its permissions, times, owner, or number of names have changed.
    Attributes,
    /// It had this name in a watched directory, and was moved away. [`WatchEvent::cookie`] tells where to.
    MovedFrom,
    /// It was moved to this name in a watched directory.
    MovedTo,
    /// It was removed from a watched directory.
    Removed,
    /// The watched file itself was moved; it is still watched, and reported by its old path.
    SelfMoved,
    /// The watched file itself is gone, or its file system is: nothing more comes from it.
    Gone,
    /// More has happened than the system keeps, and events were lost: look at everything anew. The path is empty.
    Overflow,
}

impl Watch {
    /// Watches nothing yet. Costs five system calls. Never waits.
    ///
    /// # Errors
    ///
    /// What inotify_init1(2) says: that the user has too many of them, or the limit of open files.
    pub fn new() -> io::Result<Watch> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let fd = inotify::init(flags).map_err(|error| {
            let message = format!("watch files: {error}; one `Watch` can watch many of them");
            io::Error::new(error.kind(), message)
        })?;
        Ok(Watch { fd: Fd::new(fd)?, paths: BTreeMap::new(), ready: VecDeque::new() })
    }

    /// Watches one more file or directory, or the one that a symbolic link leads to. Events come from this moment
    /// on, with `path` as it is given here.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing has changed.
    ///
    /// # Errors
    ///
    /// What inotify_add_watch(2) says, with the path; `StorageFull` if the user watches too many files (raise
    /// `fs.inotify.max_user_watches`).
    pub fn add(&mut self, cx: &mut Cx, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let fd = self.fd.get_ref();
        let number = on_thread(cx, WATCH, path, || Ok(inotify::add_watch(fd, path, watched())?))?;
        self.paths.insert(number, path.to_owned());
        Ok(())
    }

    /// Watches a file no more. Says whether it was watched. What has happened before may still be reported. Does
    /// not wait.
    ///
    /// # Errors
    ///
    /// What inotify_rm_watch(2) says.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> io::Result<bool> {
        let path = path.as_ref();
        let Some(number) = self.number_of(path) else { return Ok(false) };
        self.paths.remove(&number);
        match inotify::remove_watch(self.fd.get_ref(), number) {
            // It was gone by itself.
            Ok(()) | Err(Errno::INVAL) => Ok(true),
            Err(error) => Err(with_path("stop watching", path, error.into())),
        }
    }

    /// Waits for the next event.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no event is lost.
    ///
    /// # Errors
    ///
    /// What read(2) says. `Unsupported` in a simulated run.
    pub fn next(&mut self, cx: &mut Cx) -> Result<WatchEvent, Error> {
        // Ends with an event: what is no event is skipped, and each time something was read.
        loop {
            if let Some(event) = self.ready.pop_front() {
                // Before it is handed out, so that it is not lost on cancel.
                return match cx.checkpoint() {
                    Ok(()) => Ok(event),
                    Err(cancelled) => {
                        self.ready.push_front(event);
                        Err(cancelled.into())
                    }
                };
            }
            let (paths, ready) = (&mut self.paths, &mut self.ready);
            self.fd.try_io(cx, Interest::Readable, |fd| Ok(fetch(fd, paths, ready)?))?;
        }
    }

    fn number_of(&self, path: &Path) -> Option<i32> {
        self.paths.iter().find(|(_, watched)| *watched == path).map(|(number, _)| *number)
    }
}

impl WatchEvent {
    /// The file: the path that was given to [`Watch::add`], and for what is in a directory its name there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What has happened.
    pub fn change(&self) -> Change {
        self.change
    }

    /// A number that [`Change::MovedFrom`] and [`Change::MovedTo`] of one move share, if both directories are
    /// watched. Zero for everything else.
    pub fn cookie(&self) -> u32 {
        self.cookie
    }

    /// Whether the file is a directory.
    pub fn is_dir(&self) -> bool {
        self.is_dir
    }
}

/// Reads what is there, at most a buffer of it.
fn fetch(
    fd: &OwnedFd,
    paths: &mut BTreeMap<i32, PathBuf>,
    ready: &mut VecDeque<WatchEvent>,
) -> rustix::io::Result<()> {
    // On the stack: room for an event with the longest name (inotify(7)), and mostly for many.
    let mut buf = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(fd, &mut buf);
    // Ends with the buffer.
    loop {
        let event = reader.next()?;
        let (flags, number) = (event.events(), event.wd());
        let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
        // What is still on its way from something that is not watched any more has no path.
        let path = paths.get(&number).map(|path| match name {
            Some(name) => path.join(name),
            None => path.clone(),
        });
        let change = change_of(flags);
        if flags.contains(ReadFlags::IGNORED) {
            paths.remove(&number);
        }
        let path = if change == Some(Change::Overflow) { Some(PathBuf::new()) } else { path };
        if let (Some(path), Some(change)) = (path, change) {
            let (cookie, is_dir) = (event.cookie(), flags.contains(ReadFlags::ISDIR));
            ready.push_back(WatchEvent { path, change, cookie, is_dir });
        }
        if reader.is_buffer_empty() {
            return Ok(());
        }
    }
}

fn watched() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE
        | WatchFlags::MOVE_SELF
}

/// The one thing that an event says.
fn change_of(flags: ReadFlags) -> Option<Change> {
    let changes = [
        (ReadFlags::QUEUE_OVERFLOW, Change::Overflow),
        // Comes last of a file, also when its file system is taken away.
        (ReadFlags::IGNORED, Change::Gone),
        (ReadFlags::CREATE, Change::Created),
        (ReadFlags::MODIFY, Change::Modified),
        (ReadFlags::CLOSE_WRITE, Change::Written),
        (ReadFlags::ATTRIB, Change::Attributes),
        (ReadFlags::MOVED_FROM, Change::MovedFrom),
        (ReadFlags::MOVED_TO, Change::MovedTo),
        (ReadFlags::DELETE, Change::Removed),
        (ReadFlags::MOVE_SELF, Change::SelfMoved),
    ];
    changes.iter().find(|(flag, _)| flags.contains(*flag)).map(|(_, change)| *change)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("paths", &self.paths.values().collect::<Vec<_>>())
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.change, self.path)
    }
}

const WATCH: &str = "watch";
