//! All that a program writes, collected while it is fed: nobody waits for a full pipe.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use super::Child;
use crate::io::{Error, PipeReader, PipeWriter};
use crate::nursery::NurseryError;
use crate::task::Cx;

/// How a program has ended, and what it has written. Returned by [`Command::output`](super::Command::output).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// How it has ended.
    pub status: ExitStatus,
    /// What it has written to its standard output, if that was piped.
    pub stdout: Vec<u8>,
    /// What it has written to its standard error, if that was piped.
    pub stderr: Vec<u8>,
    pub(super) program: String,
}

impl Output {
    /// Makes an end that is no success an error.
    ///
    /// # Errors
    ///
    /// [`ExitError`], if the status is not zero, or a signal has ended the program.
    pub fn check(self) -> Result<Output, ExitError> {
        if self.status.success() { Ok(self) } else { Err(ExitError { output: self }) }
    }
}

/// A program has ended without success. Made by [`Output::check`].
///
/// Its message has the program's name, its status, and the end of what it has written to its standard error.
/// `?` turns it into [`std::io::Error`], too.
///
/// # Examples
///
/// ```
/// use conbrio::process::Command;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let output = Command::new("sh").args(["-c", "echo no such fruit >&2; exit 3"]).output(cx)?;
///     let error = output.check().unwrap_err();
///     assert_eq!(error.to_string(), "run `sh`: exit status: 3: no such fruit");
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ExitError {
    output: Output,
}

impl ExitError {
    /// The program, as it was named to [`Command::new`](super::Command::new).
    pub fn program(&self) -> &str {
        &self.output.program
    }

    /// How it has ended.
    pub fn status(&self) -> ExitStatus {
        self.output.status
    }

    /// What it has written.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// What it has written.
    pub fn into_output(self) -> Output {
        self.output
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = &self.output;
        write!(f, "run `{}`: {}", output.program, output.status)?;
        let start = output.stderr.len().saturating_sub(TAIL_BYTES);
        let tail = String::from_utf8_lossy(&output.stderr[start..]);
        match tail.trim() {
            "" => Ok(()),
            tail if start > 0 => write!(f, ": ...{tail}"),
            tail => write!(f, ": {tail}"),
        }
    }
}

impl std::error::Error for ExitError {}

impl From<ExitError> for io::Error {
    fn from(error: ExitError) -> io::Error {
        io::Error::other(error)
    }
}

/// What was collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Feeds `input` to the child and collects what it writes, to the end of both, and its end.
pub(super) fn exchange(
    cx: &mut Cx,
    child: &mut Child,
    input: &[u8],
    limit: usize,
) -> Result<Collected, Error> {
    let Child { stdin, stdout, stderr, process } = child;
    let (stdout, stderr) = (stdout.take(), stderr.take());
    let process = &*process;
    let collect = |cx: &mut Cx, stream| collect(cx, stream, limit, process.program());
    let outcome = cx.nursery(|cx, n| -> Result<Collected, Error> {
        let feeding = n.task("feed a program").spawn(|cx| feed(cx, stdin, input));
        let mut errors = n.task("collect errors").spawn(|cx| collect(cx, stderr));
        let stdout = collect(cx, stdout)?;
        let stderr = errors.join(cx)?;
        process.wait(cx)?;
        // Nobody is left who would read it, unless the program has left others behind.
        feeding.cancel();
        Ok(Collected { stdout, stderr })
    });
    match outcome {
        Ok(collected) => Ok(collected),
        Err(NurseryError::Failed(errors)) => Err(errors.into_first()),
        Err(NurseryError::Cancelled(cancelled)) => Err(cancelled.into()),
        Err(NurseryError::Stopped(_)) => unreachable!("nobody cancels this nursery"),
    }
}

/// Writes all, unless the program stops reading: that is its own affair. Then the input ends, but not if
/// this has failed: half of it must not look like all of it.
fn feed(cx: &mut Cx, stdin: &mut Option<PipeWriter>, input: &[u8]) -> Result<(), Error> {
    let Some(pipe) = stdin else { return Ok(()) };
    match pipe.write_all(cx, input) {
        Err(error) if error.kind() == Some(io::ErrorKind::BrokenPipe) => {}
        written => written?,
    }
    *stdin = None;
    Ok(())
}

fn collect(
    cx: &mut Cx,
    stream: Option<PipeReader>,
    limit: usize,
    program: &str,
) -> Result<Vec<u8>, Error> {
    let mut collected = Vec::new();
    let Some(mut stream) = stream else { return Ok(collected) };
    let mut buf = vec![0; CHUNK_BYTES];
    loop {
        let count = stream.read(cx, &mut buf)?;
        if count == 0 {
            return Ok(collected);
        }
        if count > limit - collected.len() {
            let message = format!(
                "collect what `{program}` writes: it is more than {limit} bytes (raise the limit with \
                 `Command::output_limit`, or read it as a stream)"
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message).into());
        }
        collected.extend_from_slice(&buf[..count]);
    }
}

/// What a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;

/// So much of the standard error is in the message of an [`ExitError`].
const TAIL_BYTES: usize = 1024;
