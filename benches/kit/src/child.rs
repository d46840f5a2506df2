//! Fresh processes: a program is run again for each sample.
//!
//! A process that has measured one thing is a different place for the next: its heap is fragmented, its
//! stacks are warm, its branch predictors are trained. So each sample has a process of its own, and a
//! crash is an error of that sample.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A program that is run as fresh processes.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// The command that starts it, with its arguments; none if it is started directly.
    through: &'static [&'static str],
    variables: Vec<(String, String)>,
}

impl Program {
    /// The program at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Program {
        Program { path: path.into(), through: &[], variables: Vec::new() }
    }

    /// This program itself.
    ///
    /// # Panics
    ///
    /// If the system does not say where it lies.
    pub fn this() -> Program {
        Program::new(std::env::current_exe().expect("the path of this program, to run it again"))
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Program {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Started by another program, which becomes this one.
    #[must_use]
    pub fn through(mut self, command: &'static [&'static str]) -> Program {
        self.through = command;
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.through {
            [] => Command::new(&self.path),
            [starter, rest @ ..] => {
                let mut command = Command::new(starter);
                command.args(rest).arg(&self.path);
                command
            }
        };
        command.args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn error(&self, arguments: &[&str], what: &str) -> io::Error {
        io::Error::other(format!("{} {}: {what}", self.path.display(), arguments.join(" ")))
    }

    /// Runs it with `arguments` and reads the numbers that it prints; `None` if it prints `none`.
    ///
    /// # Errors
    ///
    /// If it cannot be run, fails, or prints something that is not a number.
    pub fn answer(&self, arguments: &[&str]) -> io::Result<Option<Vec<f64>>> {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE_SECONDS).arg(&self.path).args(arguments).env("RUST_BACKTRACE", "0");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| self.error(arguments, &error.to_string()))?;
        if !output.status.success() {
            return Err(self.error(arguments, &format!("ended with {}", output.status)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        if text.trim() == "none" {
            return Ok(None);
        }
        let parse = |word: &str| {
            word.parse().map_err(|_| self.error(arguments, &format!("printed {word:?}")))
        };
        text.split_whitespace().map(parse).collect::<io::Result<Vec<f64>>>().map(Some)
    }

    /// Starts it with `arguments` and waits for the first line that it prints.
    ///
    /// # Errors
    ///
    /// If it cannot be run, or ends before it has printed a line.
    pub fn start(&self, arguments: &[&str]) -> io::Result<Background> {
        let mut command = self.command(arguments);
        let mut background = self.spawn(arguments, command.stdout(Stdio::piped()))?;
        let stdout = background.child.stdout.take().expect("its standard output is a pipe");
        BufReader::new(stdout).read_line(&mut background.first_line)?;
        if background.first_line.is_empty() {
            return Err(self.error(arguments, "ended before it was ready"));
        }
        Ok(background)
    }

    /// Starts it with `arguments`, and does not wait for anything.
    ///
    /// # Errors
    ///
    /// If it cannot be run.
    pub fn start_silent(&self, arguments: &[&str]) -> io::Result<Background> {
        self.spawn(arguments, self.command(arguments).stdout(Stdio::null()))
    }

    /// The process holds the other end of its standard input, and ends when that closes: also if this process
    /// is killed, nothing is left behind.
    fn spawn(&self, arguments: &[&str], command: &mut Command) -> io::Result<Background> {
        let child = command.stdin(Stdio::piped()).spawn();
        let child = child.map_err(|error| self.error(arguments, &error.to_string()))?;
        Ok(Background { child, first_line: String::new() })
    }
}

/// What takes longer than this will not end.
const PATIENCE_SECONDS: &str = "90";

/// Runs this program with `arguments` and reads the numbers that it prints.
///
/// # Errors
///
/// If it cannot be run, fails, or prints something that is not a number.
pub fn numbers(arguments: &[&str]) -> io::Result<Vec<f64>> {
    let program = Program::this();
    let answer = program.answer(arguments)?;
    answer.ok_or_else(|| program.error(arguments, "has no answer"))
}

/// A process that runs until it is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    first_line: String,
}

impl Background {
    /// The line that the process printed when it was ready.
    pub fn first_line(&self) -> &str {
        self.first_line.trim()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a background process: ends the process when whoever started it is gone.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
