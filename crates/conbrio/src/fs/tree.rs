//! Removing directories with everything in them.
//!
//! Goes by descriptors and names in one directory, never by long paths: whoever exchanges a directory for a
//! symbolic link meanwhile does not lead it elsewhere (CVE-2022-21658 of the standard library). Does not recurse,
//! because the destructor of a temporary directory runs on the small stack of a task.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::{failed, with_path};
use crate::io::Error;
use crate::task::Cx;

/// Removes a directory and everything in it. Symbolic links are removed, and not followed.
///
/// Holds a descriptor for each level. A thread does it.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel, a part of what is in the directory may have been removed: call it again to
/// remove the rest.
///
/// # Errors
///
/// What the system says to the first that cannot be removed, with the path of the directory. A part of what is in
/// it may have been removed then. `NotADirectory` if it is another file; a symbolic link is removed itself.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{self, TempDir};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let folder = TempDir::new(cx)?;
///     let tree = folder.path().join("tree");
///     fs::create_dir_all(cx, tree.join("a/b/c"))?;
///     fs::write(cx, tree.join("a/file"), "leaf")?;
///     fs::remove_dir_all(cx, &tree)?;
///     assert!(!fs::exists(cx, &tree)?);
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn remove_dir_all(cx: &mut Cx, path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    cx.blocking_with(|host| remove_tree(path, || Ok(host.check_cancelled()?)))?
        .map_err(|error| failed(error, |error| with_path("remove", path, error)))
}

/// Removes a directory and everything in it, on the calling thread. Asks `check` before each step whether to go
/// on.
pub(super) fn remove_tree(path: &Path, check: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
    check()?;
    if std::fs::symlink_metadata(path)?.is_symlink() {
        return Ok(std::fs::remove_file(path)?);
    }
    let root = open(CWD, path).map_err(io::Error::from)?;
    // The directories on the way down, and the name of each in the one above it.
    let mut way = vec![(read(root)?, CString::default())];
    // Ends when nobody adds files any more: each step removes one, or goes down.
    while let Some((dir, _)) = way.last_mut() {
        check()?;
        let Some(entry) = dir.read() else {
            let Some((_, name)) = way.pop() else { break };
            let Some((above, _)) = way.last() else { break };
            remove(above, &name, AtFlags::REMOVEDIR)?;
            continue;
        };
        let entry = entry.map_err(io::Error::from)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
            match dir.fd().and_then(|fd| open(fd, name)) {
                Ok(fd) => {
                    let name = name.to_owned();
                    way.push((read(fd)?, name));
                    continue;
                }
                // It is none, or not any more.
                Err(Errno::NOTDIR | Errno::LOOP) => {}
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        remove(dir, name, AtFlags::empty())?;
    }
    Ok(std::fs::remove_dir(path)?)
}

fn open(at: impl AsFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn read(fd: OwnedFd) -> io::Result<Dir> {
    Ok(Dir::new(fd)?)
}

/// What somebody else has removed is gone as well.
fn remove(dir: &Dir, name: &CStr, flags: AtFlags) -> Result<(), Error> {
    match dir.fd().and_then(|fd| rustix::fs::unlinkat(fd, name, flags)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(io::Error::from(error).into()),
    }
}
