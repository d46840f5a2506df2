//! Everything below a directory, one file after the other.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{DirEntry, FileType, Metadata, ReadDir, metadata, read_dir, symlink_metadata};
use crate::cancel::OrCancelled;
use crate::io::Error;
use crate::task::Cx;

/// Everything below the directory at `path`: each directory before what is in it, in the order that the system
/// gives.
///
/// Symbolic links are not followed unless [`follow_links`](Walk::follow_links) says so; then one that leads back
/// to a directory that the walk is in is not entered. It goes down [`max_depth`](Walk::max_depth) levels at most,
/// and holds 32 descriptors at most.
///
/// # Examples
///
/// The source files of this crate:
///
/// ```
/// use conbrio::fs;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let mut sources = Vec::new();
///     let mut walk = fs::walk("src");
///     while let Some(entry) = walk.next(cx)? {
///         if entry.path().extension().is_some_and(|extension| extension == "rs") {
///             sources.push(entry.into_path());
///         }
///     }
///     assert!(sources.iter().any(|path| path.ends_with("fs/walk.rs")));
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn walk(path: impl AsRef<Path>) -> Walk {
    Walk {
        enter: Some((path.as_ref().to_owned(), None)),
        levels: Vec::new(),
        current: None,
        max_depth: DEPTH_MAX,
        follows_links: false,
    }
}

/// A walk through the files below a directory. Made by [`walk`].
#[must_use = "a walk goes nowhere until `next` is called"]
pub struct Walk {
    /// The directory that comes next, and which one it is, if that is known.
    enter: Option<(PathBuf, Option<Id>)>,
    /// The directories on the way down.
    levels: Vec<Level>,
    /// What was taken out of the last of them, and not handed out yet.
    current: Option<DirEntry>,
    max_depth: usize,
    follows_links: bool,
}

/// A file that a [`Walk`] has come by.
#[derive(Clone)]
pub struct WalkEntry {
    path: PathBuf,
    file_type: FileType,
    depth: usize,
    is_loop: bool,
}

struct Level {
    dir: ReadDir,
    id: Option<Id>,
}

/// Device and number.
type Id = (u64, u64);

impl Walk {
    /// How many levels it goes down: with 1 only what is in the directory itself. 1000 unless said otherwise.
    /// Deeper directories are reported, and not entered.
    pub fn max_depth(mut self, levels: usize) -> Walk {
        self.max_depth = levels;
        self
    }

    /// Whether symbolic links are followed: what they lead to is reported by the path of the link. Those that
    /// lead nowhere, or back, are reported as links.
    pub fn follow_links(mut self, follow: bool) -> Walk {
        self.follows_links = follow;
        self
    }

    /// The next file; `None` when there are no more.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing is lost: the next call goes on.
    ///
    /// # Errors
    ///
    /// What the system says to a directory that cannot be read, with its path. The next call goes on without it.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<WalkEntry>, Error> {
        cx.checkpoint()?;
        self.go_down(cx)?;
        // Ends with an entry, or with the last level; each round takes an entry or a level away.
        loop {
            if self.current.is_none() {
                let Some(level) = self.levels.last_mut() else { return Ok(None) };
                match level.dir.next(cx)? {
                    None => {
                        self.levels.pop();
                        continue;
                    }
                    entry => self.current = entry,
                }
            }
            let found = self.look(cx)?;
            let Some(entry) = self.current.take() else { continue };
            let depth = self.levels.len();
            let (file_type, id, is_loop) = found;
            let path = entry.into_path();
            if file_type.is_dir() && !is_loop && depth < self.max_depth {
                self.enter = Some((path.clone(), id));
            }
            return Ok(Some(WalkEntry { path, file_type, depth, is_loop }));
        }
    }

    /// Does not enter the directory that [`next`](Walk::next) has just returned.
    pub fn skip_dir(&mut self) {
        if !self.levels.is_empty() {
            self.enter = None;
        }
    }

    /// Opens the directory that comes next.
    fn go_down(&mut self, cx: &mut Cx) -> Result<(), Error> {
        let Some((path, id)) = &self.enter else { return Ok(()) };
        let open = self.levels.iter_mut().filter(|level| level.dir.is_open());
        let mut open: Vec<_> = open.collect();
        if open.len() >= OPEN_MAX {
            open[0].dir.finish(cx)?;
        }
        let mut id = *id;
        if self.follows_links && id.is_none() {
            id = match metadata(cx, path) {
                Ok(found) => Some(id_of(&found)),
                // Reading it says what is wrong.
                Err(OrCancelled::Failed(_)) => None,
                Err(error) => return Err(error),
            };
        }
        let opened = read_dir(cx, path);
        if !matches!(opened, Err(OrCancelled::Cancelled(_))) {
            self.enter = None;
        }
        self.levels.push(Level { dir: opened?, id });
        Ok(())
    }

    /// What the current entry is, which directory it is, if so, and whether it leads back.
    fn look(&self, cx: &mut Cx) -> Result<(FileType, Option<Id>, bool), Error> {
        let Some(entry) = &self.current else { return Ok((FileType::UNKNOWN, None, false)) };
        let file_type = entry.file_type();
        let asks = match self.follows_links {
            true => file_type.is_symlink() || file_type.is_dir(),
            false => false,
        };
        let found = match (asks, file_type == FileType::UNKNOWN) {
            (false, false) => return Ok((file_type, None, false)),
            (true, _) => metadata(cx, entry.path()),
            (false, true) => symlink_metadata(cx, entry.path()),
        };
        match found {
            Ok(found) if found.is_dir() => {
                let id = Some(id_of(&found));
                let is_loop = self.levels.iter().any(|level| level.id == id);
                let seen = if is_loop { file_type } else { found.file_type() };
                Ok((seen, id, is_loop))
            }
            Ok(found) => Ok((found.file_type(), None, false)),
            // It leads nowhere, or has gone.
            Err(OrCancelled::Failed(_)) => Ok((file_type, None, false)),
            Err(error) => Err(error),
        }
    }
}

impl WalkEntry {
    /// The path: the one that the walk was made with, and the way down.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path.
    pub fn into_path(self) -> PathBuf {
        self.path
    }

    /// The name.
    pub fn file_name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// What kind of file it is, or the one that it leads to, if links are followed.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// How many levels below the start: 1 for what is in the directory itself.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether it is a symbolic link that leads back to a directory on the way here. It was not entered.
    pub fn is_loop(&self) -> bool {
        self.is_loop
    }
}

fn id_of(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("at", &self.levels.last().map(|level| level.dir.path()))
            .field("depth", &self.levels.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WalkEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.file_type, self.path)
    }
}

const DEPTH_MAX: usize = 1000;
/// How many directories of a walk are open at once; of those further up the rest is read before.
const OPEN_MAX: usize = 32;
