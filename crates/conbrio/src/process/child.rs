//! A program that was started, with the streams to it.

use std::process::ExitStatus;

use super::Process;
use crate::io::{Error, PipeReader, PipeWriter};
use crate::task::Cx;

/// A program that was started, with those of its streams that are piped.
///
/// When it is dropped, so is its [`Process`], which is killed and reaped if it was not waited for.
///
/// # Examples
///
/// ```
/// use conbrio::io::{Read, Write};
/// use conbrio::process::{Command, Stdio};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let mut child =
///         Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn(cx)?;
///     let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
///     to.write_all(cx, b"hello")?;
///     let mut answer = [0; 5];
///     from.read_exact(cx, &mut answer)?;
///     assert_eq!(&answer, b"hello");
///     drop(to); // the end of its input
///     assert!(child.wait(cx)?.success());
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct Child {
    /// Its standard input, if that is piped.
    pub stdin: Option<PipeWriter>,
    /// Its standard output, if that is piped.
    pub stdout: Option<PipeReader>,
    /// Its standard error, if that is piped.
    pub stderr: Option<PipeReader>,
    pub(super) process: Process,
}

impl Child {
    /// Closes its standard input, if that is here, and waits for its end.
    ///
    /// A program that writes more than a pipe holds waits for somebody to read it: do that first, or
    /// meanwhile.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the process goes on; its standard input has been closed.
    ///
    /// # Errors
    ///
    /// As [`Process::wait`].
    pub fn wait(&mut self, cx: &mut Cx) -> Result<ExitStatus, Error> {
        self.stdin = None;
        self.process.wait(cx)
    }

    /// The process, for tasks that wait for it or send it signals while others use its streams.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn close_streams(&mut self) {
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
    }
}
