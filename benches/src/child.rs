//! Fresh processes: the program runs itself again with other arguments.
//!
//! A process that has measured one thing is a different place for the next: its heap is fragmented, its
//! stacks are warm, its branch predictors are trained. So each sample has a process of its own, and a
//! crash is an error of that sample.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

fn command(arguments: &[&str]) -> Command {
    let program = std::env::current_exe().expect("the path of this program, to run it again");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Runs this program with `arguments` and reads the numbers that it prints.
///
/// # Errors
///
/// If it cannot be run, fails, or prints something that is not a number.
pub fn numbers(arguments: &[&str]) -> io::Result<Vec<f64>> {
    let output = command(arguments).stderr(Stdio::inherit()).output()?;
    let error = |what: String| io::Error::other(format!("child {arguments:?}: {what}"));
    if !output.status.success() {
        return Err(error(format!("ended with {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let parse =
        |word: &str| word.parse().map_err(|_| error(format!("printed {word:?}, not a number")));
    text.split_whitespace().map(parse).collect()
}

/// A process of this program that runs until it is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    first_line: String,
}

impl Background {
    /// Starts this program with `arguments` and waits for the first line that it prints.
    ///
    /// # Errors
    ///
    /// If it cannot be run, or ends before it has printed a line.
    pub fn start(arguments: &[&str]) -> io::Result<Background> {
        // The process holds the other end of its standard input, and ends when that closes: also if
        // this process is killed, nothing is left behind.
        let child = command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut background = Background { child, first_line: String::new() };
        let stdout = background.child.stdout.take().expect("its standard output is a pipe");
        BufReader::new(stdout).read_line(&mut background.first_line)?;
        if background.first_line.is_empty() {
            return Err(io::Error::other(format!("child {arguments:?} ended before it was ready")));
        }
        Ok(background)
    }

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
