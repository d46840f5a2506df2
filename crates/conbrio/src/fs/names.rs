//! The names of files: making, moving and removing them.
//!
//! Each is one operation: it has happened as a whole, or not at all.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use conbrio_reactor::op::file;
use rustix::fs::CWD;

use super::path::{c_path, on_thread, perform_at, perform_with_two};
use crate::io::Error;
use crate::task::Cx;

/// Moves a file or directory to another name on the same file system. What has that name is replaced: a file by
/// a file, an empty directory by a directory.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel it has the old name.
///
/// # Errors
///
/// What renameat2(2) says, with both paths.
pub fn rename(cx: &mut Cx, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Error> {
    const RENAME: &str = "rename";
    let (from, to) = (from.as_ref(), to.as_ref());
    let (old, new) = (c_path(cx, RENAME, from)?, c_path(cx, RENAME, to)?);
    let mut op = file::Rename::new((CWD, &old), (CWD, &new), 0);
    perform_with_two(cx, RENAME, from, to, &mut op)
}

/// Removes a name of a file. The file goes with its last name, when nobody has it open any more.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel it is there.
///
/// # Errors
///
/// What unlinkat(2) says, with the path; `IsADirectory`.
pub fn remove_file(cx: &mut Cx, path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    let text = c_path(cx, REMOVE, path)?;
    perform_at(cx, REMOVE, path, &mut file::Remove::file(CWD, &text))
}

/// Removes an empty directory.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel it is there.
///
/// # Errors
///
/// What unlinkat(2) says, with the path; `DirectoryNotEmpty`. [`remove_dir_all`](super::remove_dir_all) removes
/// what is in it, too.
pub fn remove_dir(cx: &mut Cx, path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    let text = c_path(cx, REMOVE, path)?;
    perform_at(cx, REMOVE, path, &mut file::Remove::directory(CWD, &text))
}

/// Makes a directory. Its mode is 0o777, without what the process masks out.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel it was not made.
///
/// # Errors
///
/// What mkdirat(2) says, with the path; `AlreadyExists`, and `NotFound` if its parent is missing.
pub fn create_dir(cx: &mut Cx, path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    let text = c_path(cx, MAKE, path)?;
    perform_at(cx, MAKE, path, &mut file::MakeDirectory::new(CWD, &text, 0o777))
}

/// Makes a directory and those above it, as far as they are missing.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel none was made; once it has begun, it goes on to its end.
///
/// # Errors
///
/// What mkdir(2) says, with the path. Some of the directories above may have been made then.
pub fn create_dir_all(cx: &mut Cx, path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    on_thread(cx, MAKE, path, || std::fs::create_dir_all(path))
}

/// Gives a file one more name, on the same file system. A symbolic link gets it itself.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel it has no new name.
///
/// # Errors
///
/// What linkat(2) says, with both paths; `AlreadyExists`.
pub fn hard_link(
    cx: &mut Cx,
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> Result<(), Error> {
    const LINK: &str = "link";
    let (original, link) = (original.as_ref(), link.as_ref());
    let (old, new) = (c_path(cx, LINK, original)?, c_path(cx, LINK, link)?);
    let mut op = file::Link::new((CWD, &old), (CWD, &new), 0);
    perform_with_two(cx, LINK, original, link, &mut op)
}

/// Makes a symbolic link at `link` that says `original`, whatever that is: a relative path begins at the
/// directory of the link.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel it was not made.
///
/// # Errors
///
/// What symlinkat(2) says, with both paths; `AlreadyExists`.
pub fn symlink(
    cx: &mut Cx,
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> Result<(), Error> {
    const LINK: &str = "make a symbolic link from";
    let (original, link) = (original.as_ref(), link.as_ref());
    let (target, name) = (c_path(cx, LINK, original)?, c_path(cx, LINK, link)?);
    let mut op = file::Symlink::new(&target, CWD, &name);
    perform_with_two(cx, LINK, link, original, &mut op)
}

/// What a symbolic link says.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// What readlink(2) says, with the path; `InvalidInput` if it is no symbolic link.
pub fn read_link(cx: &mut Cx, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
    let path = path.as_ref();
    on_thread(cx, "read the link", path, || std::fs::read_link(path))
}

/// The path from the root without symbolic links, `.` and `..`, to a file that exists.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// What realpath(3) says, with the path.
pub fn canonicalize(cx: &mut Cx, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
    let path = path.as_ref();
    on_thread(cx, "resolve", path, || std::fs::canonicalize(path))
}

/// Says who may do what with a file.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel nothing has changed.
///
/// # Errors
///
/// What chmod(2) says, with the path.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{self, TempFile};
/// use std::os::unix::fs::PermissionsExt;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let script = TempFile::new(cx)?;
///     let permissions = std::fs::Permissions::from_mode(0o700);
///     fs::set_permissions(cx, script.path(), permissions)?;
///     assert_eq!(fs::metadata(cx, script.path())?.mode() & 0o777, 0o700);
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn set_permissions(
    cx: &mut Cx,
    path: impl AsRef<Path>,
    permissions: Permissions,
) -> Result<(), Error> {
    let path = path.as_ref();
    let set = || -> io::Result<()> { std::fs::set_permissions(path, permissions) };
    on_thread(cx, "set the permissions of", path, set)
}

const REMOVE: &str = "remove";
const MAKE: &str = "make";
