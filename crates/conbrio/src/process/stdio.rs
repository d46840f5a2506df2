//! What a program gets as its standard streams.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::io::{PipeReader, PipeWriter};

/// What a program gets as its standard input, output, or error.
///
/// # Examples
///
/// ```
/// use conbrio::process::{Command, Stdio};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let passwd = std::fs::File::open("/etc/passwd")?;
///     let counted = Command::new("wc").arg("-l").stdin(passwd).stderr(Stdio::null()).output(cx)?;
///     let lines: u32 = String::from_utf8_lossy(&counted.stdout).trim().parse().unwrap();
///     assert!(lines > 0);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct Stdio(Kind);

#[derive(Debug)]
enum Kind {
    Inherit,
    Null,
    Piped,
    Fd(OwnedFd),
}

impl Stdio {
    /// The same as this process has.
    #[must_use]
    pub fn inherit() -> Stdio {
        Stdio(Kind::Inherit)
    }

    /// `/dev/null`: nothing to read, and what is written is gone.
    #[must_use]
    pub fn null() -> Stdio {
        Stdio(Kind::Null)
    }

    /// A pipe, whose other end the [`Child`](super::Child) has.
    #[must_use]
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }

    pub(super) fn is_piped(&self) -> bool {
        matches!(self.0, Kind::Piped)
    }

    /// For one start of a program. A descriptor stays with the command, for the next one.
    pub(super) fn to_std(&self) -> io::Result<std::process::Stdio> {
        Ok(match &self.0 {
            Kind::Inherit => std::process::Stdio::inherit(),
            Kind::Null => std::process::Stdio::null(),
            Kind::Piped => std::process::Stdio::piped(),
            Kind::Fd(fd) => fd.try_clone()?.into(),
        })
    }

    /// Once more what `output` is, for the stream beside it; `own` is what this process has there. Not for a
    /// pipe.
    pub(super) fn same_as(output: &Stdio, own: BorrowedFd<'_>) -> io::Result<std::process::Stdio> {
        match &output.0 {
            Kind::Inherit => Ok(own.try_clone_to_owned()?.into()),
            Kind::Null | Kind::Piped | Kind::Fd(_) => output.to_std(),
        }
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Stdio {
        Stdio(Kind::Fd(fd))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        OwnedFd::from(file).into()
    }
}

/// In blocking mode, as programs expect it.
impl From<PipeReader> for Stdio {
    fn from(reader: PipeReader) -> Stdio {
        reader.into_fd().expect("the mode of an open pipe can be set").into()
    }
}

/// In blocking mode, as programs expect it.
///
/// # Panics
///
/// If the end was closed by [`end_write`](crate::io::HalfClose::end_write).
impl From<PipeWriter> for Stdio {
    #[track_caller]
    fn from(writer: PipeWriter) -> Stdio {
        let fd = writer.into_fd();
        fd.expect("this end of a pipe was closed by `end_write`: hand it over before").into()
    }
}

/// What the standard output of this process is.
pub(super) fn own_output(stdout: &io::Stdout) -> BorrowedFd<'_> {
    stdout.as_fd()
}
