//! What to run, and how.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::ending::Ending;
use super::{Process, Stdio};
use crate::task::Cx;

/// A program to run, with its arguments, environment and streams: [`std::process::Command`] for tasks.
///
/// # Examples
///
/// ```
/// use conbrio::process::Command;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let status = Command::new("sh").args(["-c", "exit $CODE"]).env("CODE", "7").status(cx)?;
///     assert_eq!(status.code(), Some(7));
///     Ok(())
/// })
/// .unwrap();
/// ```
pub struct Command {
    pub(super) inner: std::process::Command,
    pub(super) stdin: Option<Stdio>,
    pub(super) stdout: Option<Stdio>,
    pub(super) stderr: Option<Stdio>,
    pub(super) merges_errors: bool,
    pub(super) input: Option<Arc<Vec<u8>>>,
    pub(super) output_limit: usize,
    pub(super) leads_group: bool,
    pub(super) ending: Ending,
}

impl Command {
    /// A program: a path, or a name that is looked for in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            inner: std::process::Command::new(program),
            stdin: None,
            stdout: None,
            stderr: None,
            merges_errors: false,
            input: None,
            output_limit: OUTPUT_BYTES_MAX,
            leads_group: false,
            ending: Ending::default(),
        }
    }

    /// Adds an argument. No shell looks at it.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> &mut Command {
        self.inner.args(args);
        self
    }

    /// Sets a variable of its environment, which is otherwise that of this process.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env(key, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Command {
        self.inner.envs(variables);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Begins with an empty environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// The directory that it begins in, otherwise that of this process. Better not with a relative path of
    /// the program: [`std::process::Command::current_dir`] says why.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.inner.current_dir(directory);
        self
    }

    /// Its standard input. If it is not set: nothing for [`output`](Command::output), and that of this
    /// process for all else.
    ///
    /// A descriptor stays open in the command until that is dropped, here and for the other two streams: a
    /// pipe has no end before.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.stdin = Some(stdin.into());
        self
    }

    /// Its standard output. If it is not set: a pipe for [`output`](Command::output), and that of this
    /// process for all else.
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.stdout = Some(stdout.into());
        self
    }

    /// Its standard error. If it is not set: a pipe for [`output`](Command::output), and that of this
    /// process for all else.
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.stderr = Some(stderr.into());
        self
    }

    /// Its standard error goes where its standard output goes, in the order in which it writes.
    pub fn stderr_to_stdout(&mut self) -> &mut Command {
        self.merges_errors = true;
        self
    }

    /// What [`output`](Command::output) and [`status`](Command::status) write to its standard input, which
    /// ends after that. It is no error if the program does not read all of it.
    pub fn input(&mut self, input: impl Into<Vec<u8>>) -> &mut Command {
        self.input = Some(Arc::new(input.into()));
        self
    }

    /// How much [`output`](Command::output) collects of each stream, 64 MiB if nothing is said. A program
    /// that writes more is ended, and that is an error.
    pub fn output_limit(&mut self, bytes: usize) -> &mut Command {
        self.output_limit = bytes;
        self
    }

    /// Puts it into this process group, or into one of its own if `group` is zero. The signals that end it
    /// then go to all processes of its own group, so that what a shell has started ends with it; and Ctrl-C
    /// at the terminal does not reach it.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.inner.process_group(group);
        self.leads_group = group == 0;
        self
    }

    /// How long it may take to end after `SIGTERM`, before `SIGKILL`, when what runs it is cancelled or
    /// fails. Five seconds, if nothing is said.
    pub fn grace(&mut self, grace: Duration) -> &mut Command {
        self.ending = Ending::Terminate(grace);
        self
    }

    /// What ends it when what runs it is cancelled or fails, instead of `SIGTERM` and `SIGKILL`.
    ///
    /// It runs shielded, and is cancelled when the program has ended. It may return before that: the input of
    /// the program ends then, and it is waited for, however long it takes. If this fails or panics, the program
    /// is killed.
    ///
    /// # Examples
    ///
    /// A database that shuts down on `SIGINT`, and may take its time:
    ///
    /// ```
    /// use conbrio::process::Command;
    /// use conbrio::signal::Signal;
    ///
    /// let mut database = Command::new("postgres");
    /// database.on_cancel(|_cx, process| process.signal(Signal::INTERRUPT));
    /// ```
    pub fn on_cancel(
        &mut self,
        hook: impl Fn(&mut Cx, &Process) -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Command {
        self.ending = Ending::Custom(Arc::new(hook));
        self
    }

    /// The command of the standard library inside, for what is not here. Its streams are set anew each time
    /// the program is started.
    ///
    /// The program is started by a thread that does not live as long as the runtime, so do not let it ask
    /// for a signal at the death of its parent (`PR_SET_PDEATHSIG`): that looks at the thread.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }

    /// The program's name for messages.
    pub(super) fn program(&self) -> String {
        self.inner.get_program().to_string_lossy().into_owned()
    }
}

impl fmt::Debug for Command {
    /// The command line, as that of the standard library.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Enough for what one means to have in memory, and little enough for a program that runs away.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
