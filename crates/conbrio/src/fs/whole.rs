//! Whole files in one call.

use std::fs::{File as StdFile, OpenOptions as StdOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use conbrio_reactor::op::file::PIECE_BYTES;
use rustix::io::Errno;

use super::File;
use super::error::{with_path, with_paths};
use crate::blocking::Host;
use crate::cancel::{Cancelled, OrCancelled};
use crate::io::{Error, Incomplete, Read as _, Write as _};
use crate::task::Cx;

/// Reads a whole file.
///
/// Nothing bounds the size but the file: for a bound, open it and use [`take`](crate::io::Read::take).
///
/// # Cancellation
///
/// Always a checkpoint. On cancel nothing has changed.
///
/// # Errors
///
/// What open(2) and read(2) say, with the path.
///
/// # Examples
///
/// ```
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let bytes = conbrio::fs::read(cx, "Cargo.toml")?;
///     assert!(bytes.starts_with(b"[package]"));
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn read(cx: &mut Cx, path: impl AsRef<Path>) -> Result<Vec<u8>, Error> {
    let mut file = File::open(cx, path)?;
    let mut bytes = Vec::new();
    let mut room = ROOM_MIN;
    // Ends with the file; what has no end, such as a device, ends with the memory, as in `std`.
    loop {
        let filled = bytes.len();
        bytes.resize(filled + room, 0);
        let count = file.read(cx, &mut bytes[filled..])?;
        bytes.truncate(filled + count);
        if count == 0 {
            return Ok(bytes);
        }
        if count == room {
            room = (2 * room).min(PIECE_BYTES);
        }
    }
}

/// Reads a whole file of UTF-8.
///
/// # Cancellation
///
/// As [`read`].
///
/// # Errors
///
/// As [`read`]; `InvalidData` if it is not UTF-8.
pub fn read_to_string(cx: &mut Cx, path: impl AsRef<Path>) -> Result<String, Error> {
    let path = path.as_ref();
    String::from_utf8(read(cx, path)?).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        with_path("read", path, error).into()
    })
}

/// Writes a whole file: makes it, or empties it first.
///
/// Readers see it grow, and what was in it is gone at once. [`write_atomic`](super::write_atomic) replaces it as
/// a whole.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel, the file holds the first [`done`](Incomplete::done) bytes of `data` and
/// nothing else; if there are none, it may also be as it was.
///
/// # Errors
///
/// [`Incomplete`], likewise, with what open(2) and write(2) say, and the path.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{self, TempDir};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let folder = TempDir::new(cx)?;
///     let path = folder.path().join("greeting");
///     fs::write(cx, &path, "hello")?;
///     assert_eq!(fs::read(cx, &path)?, b"hello");
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn write(
    cx: &mut Cx,
    path: impl AsRef<Path>,
    data: impl AsRef<[u8]>,
) -> Result<(), Incomplete> {
    let mut file = File::create(cx, path).map_err(|error| Incomplete::new("write", 0, error))?;
    file.write_all(cx, data.as_ref())
}

/// Copies the content of a file and its permissions to another one, which is made, or emptied first. Says how
/// many bytes there were.
///
/// The bytes do not leave the system where the file systems allow it, and a thread sees to that. For a copy that
/// is there as a whole or not at all, copy to a [`TempFile`](super::TempFile) and
/// [persist](super::TempFile::persist) it.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel, `to` holds the first [`done`](Incomplete::done) bytes of `from` and nothing
/// else; if there are none, it may also be as it was.
///
/// # Errors
///
/// [`Incomplete`], likewise, with what the system says, and both paths. `InvalidInput` if `from` is no regular
/// file, or if both are the same file, which stays as it is.
pub fn copy(cx: &mut Cx, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64, Incomplete> {
    const COPY: &str = "copy";
    let (from, to) = (from.as_ref(), to.as_ref());
    let mut done = 0;
    let copied = cx.blocking_with(|host| copy_on_thread(host, from, to, &mut done));
    match copied {
        Ok(Ok(())) => Ok(done),
        Ok(Err(OrCancelled::Failed(error))) => {
            Err(Incomplete::new(COPY, done, with_paths(COPY, from, to, error)))
        }
        Ok(Err(error)) => Err(Incomplete::new(COPY, done, error)),
        Err(cancelled) => Err(Incomplete::new(COPY, 0, Error::Cancelled(cancelled))),
    }
}

fn copy_on_thread(host: &Host, from: &Path, to: &Path, done: &mut u64) -> Result<(), Error> {
    let reader = StdFile::open(from)?;
    let status = reader.metadata()?;
    if !status.is_file() {
        let message = "it is no regular file: copy what is in it, or read it through `File`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
    }
    // It is emptied only after this has been seen to be another file.
    let writer =
        StdOptions::new().write(true).create(true).truncate(false).mode(status.mode()).open(to)?;
    let target = writer.metadata()?;
    if (target.dev(), target.ino()) == (status.dev(), status.ino()) {
        let message = "both are the same file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
    }
    if target.is_file() {
        writer.set_len(0)?;
        writer.set_permissions(status.permissions())?;
    }
    copy_bytes(&reader, &writer, done, || host.check_cancelled())
}

/// Copies from the position of one to that of the other, and counts. Ends with the file.
fn copy_bytes(
    reader: &StdFile,
    writer: &StdFile,
    done: &mut u64,
    check: impl Fn() -> Result<(), Cancelled>,
) -> Result<(), Error> {
    loop {
        check()?;
        match rustix::fs::copy_file_range(reader, None, writer, None, PIECE_BYTES) {
            // Some file systems whose files have no size, such as /proc, say so at once.
            Ok(0) if *done == 0 => break,
            Ok(0) => return Ok(()),
            Ok(count) => *done += count as u64,
            Err(Errno::INTR) => {}
            // It does not know these two files, or not together.
            Err(
                Errno::NOSYS
                | Errno::XDEV
                | Errno::INVAL
                | Errno::PERM
                | Errno::OPNOTSUPP
                | Errno::BADF,
            ) if *done == 0 => break,
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    let mut buf = vec![0; BUF_BYTES];
    loop {
        check()?;
        let count = match (&mut &*reader).read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let mut written = 0;
        while written < count {
            match (&mut &*writer).write(&buf[written..count]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(more) => {
                    written += more;
                    *done += more as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The first step of `read` asks for this much.
const ROOM_MIN: usize = 8 * 1024;
const BUF_BYTES: usize = 128 * 1024;
