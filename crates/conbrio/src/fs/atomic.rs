//! Replacing a file as a whole.

use std::io;
use std::path::Path;

use super::error::{failed, with_path};
use super::{File, OpenOptions, TempFile, metadata};
use crate::cancel::OrCancelled;
use crate::io::{Error, Write as _};
use crate::task::Cx;

/// Gives a file new content as a whole: whoever opens it, at whatever time, and also after the machine has lost
/// its power, finds the old content or the new one.
///
/// Writes a temporary file in the same directory, waits until the device has it, gives it the name, and waits
/// until the device has that. The permissions of a file that exists are kept; its owner becomes the user who runs
/// the program. A symbolic link is replaced, and not followed; other names of the file keep the old content.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel the old content is there, or still nothing, and the temporary file is removed.
///
/// # Errors
///
/// What the system says, with the path. The old content is there then, except if the very last step fails, waiting
/// for the device to have the name: then everybody sees the new content, and what is seen after a loss of power is
/// not known. The error says so.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{self, TempDir};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let folder = TempDir::new(cx)?;
///     let path = folder.path().join("settings");
///     fs::write_atomic(cx, &path, "volume = 3")?;
///     fs::write_atomic(cx, &path, "volume = 11")?;
///     assert_eq!(fs::read_to_string(cx, &path)?, "volume = 11");
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn write_atomic(
    cx: &mut Cx,
    path: impl AsRef<Path>,
    data: impl AsRef<[u8]>,
) -> Result<(), Error> {
    let path = path.as_ref();
    replace(cx, path, data.as_ref())
        .map_err(|error| failed(error, |error| with_path("replace", path, error)))
}

fn replace(cx: &mut Cx, path: &Path, data: &[u8]) -> Result<(), Error> {
    let folder_path = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let permissions = match metadata(cx, path) {
        Ok(metadata) => Some(metadata.permissions()),
        Err(OrCancelled::Failed(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // Nobody else reads it before it has the permissions of the old one.
    let mode = if permissions.is_some() { 0o600 } else { 0o666 };
    let mut file = TempFile::with_mode(cx, folder_path, mode)?;
    file.write_all(cx, data).map_err(|error| error.into_cause())?;
    if let Some(permissions) = permissions {
        file.set_permissions(cx, permissions)?;
    }
    file.sync_all(cx)?;
    let folder: File =
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(cx, folder_path)?;
    file.persist(cx, path)?;
    // From here on it has happened, and no cancellation may say anything else.
    let synced = cx.shield(|cx| folder.sync_all(cx));
    synced.map_err(|error| failed(error, |error| with_path(NEW_BUT_NOT_SAFE, folder_path, error)))
}

const NEW_BUT_NOT_SAFE: &str = "the new content is there, but may be lost with the power: sync";
