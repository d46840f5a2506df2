//! Starting programs, and running them to their end.
//!
//! Owns the order of things: what was started is in a [`Process`] before anything else can fail, and what runs
//! it ends it before it returns.
//!
//! Programs are started on a thread of `cx.blocking`: the kernel stops the thread that starts one until the
//! program has been read from the disk and begun, and all the tasks of a worker would stand still so long.
//! Measured with `true`: 0.13 to 0.2 ms by posix_spawn(3), a tenth more with the way to the other thread and
//! back. But where the standard library has to use fork(2), as for another user id, a process with 1 GiB of
//! memory stands still for 190 ms, and then the other tasks do not notice.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitStatus;

use conbrio_reactor::without_blocked_signals;

use super::output::exchange;
use super::stdio::own_output;
use super::{Child, Command, Output, Process, Stdio};
use crate::cancel::{MaybeCancelled, OrCancelled};
use crate::io::{Error, PipeReader, PipeWriter};
use crate::task::Cx;
use crate::util::swallow::swallow_panics;

/// What becomes of the streams that were not set.
#[derive(Clone, Copy)]
enum Default {
    Inherited,
    /// Nothing to read, and all that is written is collected.
    Collected,
}

impl Command {
    /// Starts the program. It ends at the latest when the [`Child`] is dropped: with `SIGKILL`, if it was not
    /// waited for.
    ///
    /// [`run`](Command::run) lets it end in peace.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the program was not started.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such program; what fork(2), execve(2) and pidfd_open(2) say. `Unsupported` in
    /// a simulated run.
    ///
    /// # Panics
    ///
    /// If [`input`](Command::input) was set, which is for `output` and `status`; or if both
    /// [`stderr`](Command::stderr) and [`stderr_to_stdout`](Command::stderr_to_stdout) were.
    #[track_caller]
    pub fn spawn(&mut self, cx: &mut Cx) -> Result<Child, Error> {
        self.refuse_input();
        self.refuse_contradictions();
        self.start(cx, Default::Inherited)
    }

    /// Starts the program, runs `body` with it, and waits for its end.
    ///
    /// When `body` has returned, the streams that it has left in the [`Child`] are closed. If it has failed or
    /// panicked, or the wait is cancelled, the program is ended: with `SIGTERM`, and `SIGKILL` after the
    /// [`grace`](Command::grace), or as [`on_cancel`](Command::on_cancel) says. The signal comes before the
    /// end of the stream that is left in the `Child`, so that no program takes half of its input for all of it.
    /// It has always been reaped when this returns or unwinds.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before the program is started. After that, on cancel the program has ended, and
    /// whatever it has done is done. Ending it is not cut short by a cancellation.
    ///
    /// # Errors
    ///
    /// That of `body`; as `E::from`, what [`spawn`](Command::spawn) and [`Process::wait`] say. If it was
    /// cancelled and [`on_cancel`](Command::on_cancel) has failed, that error.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Command::spawn). A panic of `body` goes on when the program has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::io::{BufRead, BufReader};
    /// use conbrio::process::{Command, Stdio};
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let mut command = Command::new("yes");
    ///     let (line, status) = command.stdout(Stdio::piped()).run(cx, |cx, child| {
    ///         let mut lines = BufReader::new(child.stdout.take().unwrap());
    ///         let mut line = String::new();
    ///         lines.read_line(cx, &mut line)?;
    ///         Ok::<_, std::io::Error>(line)
    ///     })?;
    ///     assert_eq!(line, "y\n");
    ///     assert!(!status.success(), "nobody has read on");
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn run<R, E>(
        &mut self,
        cx: &mut Cx,
        body: impl FnOnce(&mut Cx, &mut Child) -> Result<R, E>,
    ) -> Result<(R, ExitStatus), E>
    where
        E: MaybeCancelled + From<io::Error>,
    {
        self.refuse_input();
        self.refuse_contradictions();
        let convert = |error: Error| E::from(io::Error::from(error));
        self.run_with(cx, Default::Inherited, body, convert)
    }

    /// Runs the program to its end, collects what it writes, and feeds it its [`input`](Command::input).
    ///
    /// That it has ended without success is no error: [`Output::check`] makes it one. Like `std`, this waits
    /// for the end of its streams, so also for other processes that it has left behind with them.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the program was not started, or it has ended, as [`run`](Command::run)
    /// says; what it had written is lost.
    ///
    /// # Errors
    ///
    /// As [`run`](Command::run), and `FileTooLarge` if the program writes more than the
    /// [`output_limit`](Command::output_limit).
    ///
    /// # Panics
    ///
    /// If two settings contradict each other: [`input`](Command::input) and [`stdin`](Command::stdin), or
    /// [`stderr`](Command::stderr) and [`stderr_to_stdout`](Command::stderr_to_stdout).
    #[track_caller]
    pub fn output(&mut self, cx: &mut Cx) -> Result<Output, Error> {
        self.refuse_contradictions();
        self.collect(cx, Default::Collected)
    }

    /// Runs the program to its end, with the streams of this process unless others were set, and feeds it its
    /// [`input`](Command::input).
    ///
    /// # Cancellation
    ///
    /// As [`output`](Command::output).
    ///
    /// # Errors
    ///
    /// As [`output`](Command::output): what it writes to a stream that is piped is read, and forgotten.
    ///
    /// # Panics
    ///
    /// As [`output`](Command::output).
    #[track_caller]
    pub fn status(&mut self, cx: &mut Cx) -> Result<ExitStatus, Error> {
        self.refuse_contradictions();
        Ok(self.collect(cx, Default::Inherited)?.status)
    }

    fn collect(&mut self, cx: &mut Cx, default: Default) -> Result<Output, Error> {
        let (input, limit) = (self.input.clone().unwrap_or_default(), self.output_limit);
        let body = |cx: &mut Cx, child: &mut Child| exchange(cx, child, &input, limit);
        let (collected, status) = self.run_with(cx, default, body, |error| error)?;
        let program = self.program();
        Ok(Output { status, stdout: collected.stdout, stderr: collected.stderr, program })
    }

    fn run_with<R, E: MaybeCancelled>(
        &mut self,
        cx: &mut Cx,
        default: Default,
        body: impl FnOnce(&mut Cx, &mut Child) -> Result<R, E>,
        convert: impl Fn(Error) -> E,
    ) -> Result<(R, ExitStatus), E> {
        let mut child = self.start(cx, default).map_err(&convert)?;
        let result = catch_unwind(AssertUnwindSafe(|| body(cx, &mut child)));
        let error = match result {
            Ok(Ok(value)) => {
                child.close_streams();
                match child.wait(cx) {
                    Ok(status) => return Ok((value, status)),
                    Err(error) => convert(error),
                }
            }
            Ok(Err(error)) => error,
            Err(payload) => {
                // The panic is the first failure, and is what goes on.
                swallow_panics(|| drop(self.ending.apply(cx, &mut child)));
                resume_unwind(payload)
            }
        };
        match self.ending.apply(cx, &mut child) {
            // A failure counts for more than a cancellation, and of two failures the first one.
            Err(failure) if error.cancelled().is_some() => Err(convert(failure.into())),
            _ => Err(error),
        }
    }

    /// Starts the program on a thread that may block.
    fn start(&mut self, cx: &mut Cx, default: Default) -> Result<Child, Error> {
        cx.checkpoint()?;
        let program = self.program();
        if cx.task().worker().simulation().is_some() {
            let message = format!("start `{program}`: a simulated run has no other programs");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message).into());
        }
        cx.blocking(|| self.start_here(&program, default))?.map_err(|error| {
            let message = format!("start `{program}`: {error}");
            OrCancelled::Failed(io::Error::new(error.kind(), message))
        })
    }

    fn start_here(&mut self, program: &str, default: Default) -> io::Result<Child> {
        let started = self.set_streams(default).and_then(|merged| {
            // Threads that a worker has made block signals, by which the program could not be ended.
            Ok((without_blocked_signals(|| self.inner.spawn())?, merged))
        });
        // The command would keep its ends of pipes open until it is used again.
        let null = std::process::Stdio::null;
        self.inner.stdin(null()).stdout(null()).stderr(null());
        let (child, merged) = started?;
        let process = Process::new(program.to_owned(), child.id(), self.leads_group)?;
        let reader = |fd: Option<OwnedFd>| fd.map(PipeReader::from_fd).transpose();
        let stdin = child.stdin.map(|stdin| PipeWriter::from_fd(stdin.into())).transpose()?;
        let stdout = reader(merged.or(child.stdout.map(OwnedFd::from)))?;
        let stderr = reader(child.stderr.map(OwnedFd::from))?;
        Ok(Child { stdin, stdout, stderr, process })
    }

    /// Gives the streams to the command inside. If both outputs go into one pipe, returns its other end.
    fn set_streams(&mut self, default: Default) -> io::Result<Option<OwnedFd>> {
        let (no_input, no_output) = match default {
            Default::Inherited => (Stdio::inherit(), Stdio::inherit()),
            Default::Collected => (Stdio::null(), Stdio::piped()),
        };
        let piped = Stdio::piped();
        let stdin = if self.input.is_some() { Some(&piped) } else { self.stdin.as_ref() };
        self.inner.stdin(stdin.unwrap_or(&no_input).to_std()?);
        let stdout = self.stdout.as_ref().unwrap_or(&no_output);
        if !self.merges_errors {
            self.inner.stdout(stdout.to_std()?);
            self.inner.stderr(self.stderr.as_ref().unwrap_or(&no_output).to_std()?);
            return Ok(None);
        }
        if stdout.is_piped() {
            let (reader, writer) = std::io::pipe()?;
            self.inner.stdout(writer.try_clone()?).stderr(writer);
            return Ok(Some(reader.into()));
        }
        let own = std::io::stdout();
        self.inner.stdout(stdout.to_std()?).stderr(Stdio::same_as(stdout, own_output(&own))?);
        Ok(None)
    }

    #[track_caller]
    fn refuse_input(&self) {
        assert!(
            self.input.is_none(),
            "`input` is for `output` and `status`: set `stdin(Stdio::piped())` here, and write to \
             `child.stdin`"
        );
    }

    #[track_caller]
    fn refuse_contradictions(&self) {
        assert!(
            self.input.is_none() || self.stdin.is_none(),
            "both `input` and `stdin` say what the program reads: set one of them"
        );
        assert!(
            !self.merges_errors || self.stderr.is_none(),
            "both `stderr` and `stderr_to_stdout` say where errors go: set one of them"
        );
    }
}
