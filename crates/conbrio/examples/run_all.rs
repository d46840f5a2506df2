//! Runs the commands of a file, some at a time, and shows how far they are.
//!
//! Run: `cargo run --example run_all -- [--jobs N] [--limit SECONDS] [FILE]`
//! Expect: a line for each command when it has ended, with what it said if it has failed, and below, on a
//! terminal, what runs now. The status is 1 if a command has failed or taken too long. Ctrl-C ends all that
//! run, and whatever they have started; nothing is left behind.
//!
//! A file has a command of the shell in each line; empty lines and those with `#` are left out. Without a
//! file there are some commands to look at.
//!
//! smoke: --jobs 3 --limit 0.5
//! smoke-expect: 4 well, 0 badly, 1 took too long

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use conbrio::prelude::*;
use conbrio::process::Command;
use conbrio::signal::cancel_on_ctrl_c;

const EXAMPLES: &str = "\
    sleep 0.2; echo short
    seq 1 100000 | wc -l
    sleep 60 & sleep 60 # takes too long, and so does its child
    echo from the environment: $HOME
    sleep 0.1
";

/// What is to be done, and what has become of it.
#[derive(Default)]
struct Board {
    state: Mutex<State>,
    limit: Duration,
}

#[derive(Default)]
struct State {
    /// What runs now, by the number of its line.
    running: BTreeMap<usize, (String, Instant)>,
    waiting: usize,
    well: usize,
    badly: usize,
    late: usize,
}

fn main() -> io::Result<ExitCode> {
    let (mut jobs, mut limit, mut text) = (4, Duration::from_secs(3600), EXAMPLES.to_owned());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse::<f64>().ok());
        match word.as_str() {
            "--jobs" => jobs = number().filter(|count| *count >= 1.0).ok_or_else(usage)? as usize,
            "--limit" => limit = number().and_then(positive).ok_or_else(usage)?,
            _ if word.starts_with('-') => return Err(usage()),
            file => text = std::fs::read_to_string(file)?,
        }
    }
    let commands =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let commands: Vec<&str> = commands.collect();
    let board = Board { limit, ..Board::default() };
    board.state.lock().unwrap().waiting = commands.len();

    let ended = conbrio::run(|cx| cancel_on_ctrl_c(cx, |cx| run_all(cx, &board, &commands, jobs)))?;

    let State { running, waiting, well, badly, late } = board.state.into_inner().unwrap();
    assert!(running.is_empty(), "nothing is left behind");
    println!("{well} well, {badly} badly, {late} took too long, {waiting} were not run");
    let is_good = ended.is_some() && badly + late == 0;
    // The examples are meant to show one that takes too long.
    Ok(if is_good || text == EXAMPLES { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn usage() -> io::Error {
    io::Error::other("usage: run_all [--jobs N] [--limit SECONDS] [FILE]")
}

fn positive(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero())
}

/// Runs the commands, `jobs` at a time, beside a task that shows how far they are.
fn run_all(cx: &mut Cx, board: &Board, commands: &[&str], jobs: usize) -> io::Result<()> {
    cx.nursery(|cx, n| -> io::Result<()> {
        let mut shown = n.spawn(|cx| board.show(cx));
        cx.nursery(|cx, n| {
            let places = n.limit(jobs);
            for (number, command) in commands.iter().enumerate() {
                places.spawn(cx, move |cx| board.run(cx, number, command))?;
            }
            Ok::<(), io::Error>(())
        })?;
        shown.cancel();
        let _ = shown.join(cx);
        Ok(())
    })?;
    Ok(())
}

impl Board {
    /// Runs one command and says how it has ended. A cancellation ends the command first, and all that is
    /// in its process group.
    fn run(&self, cx: &mut Cx, number: usize, text: &str) -> io::Result<()> {
        let began = cx.now();
        self.change(|state| {
            state.waiting -= 1;
            state.running.insert(number, (text.to_owned(), began));
        });
        let mut command = Command::new("sh");
        command.args(["-c", text]).process_group(0).stderr_to_stdout();
        command.grace(Duration::from_millis(500));
        let outcome =
            cx.move_on_after(self.limit, |cx| command.output(cx).map_err(io::Error::from));
        self.change(|state| {
            state.running.remove(&number);
        });
        let seconds = (cx.now() - began).as_secs_f64();
        let (count, said) = match outcome {
            Ok(None) => (self.count(|state| &mut state.late), "took too long".to_owned()),
            Ok(Some(output)) => match output.check() {
                Ok(_) => (self.count(|state| &mut state.well), String::new()),
                // It names the status, and shows the end of what the command has said.
                Err(error) => (self.count(|state| &mut state.badly), error.to_string()),
            },
            Err(error) if error.cancelled().is_some() => return Err(error),
            Err(error) => (self.count(|state| &mut state.badly), error.to_string()),
        };
        let colon = if said.is_empty() { "" } else { ": " };
        self.line(format_args!("{count:>3}. {seconds:6.1} s  {text}{colon}{said}"));
        Ok(())
    }

    fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap())
    }

    /// Counts one more, and returns how many have ended.
    fn count(&self, which: impl FnOnce(&mut State) -> &mut usize) -> usize {
        self.change(|state| {
            *which(state) += 1;
            state.well + state.badly + state.late
        })
    }

    /// Prints a line above what is shown at the bottom.
    fn line(&self, line: std::fmt::Arguments<'_>) {
        let clear = if io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
        let _ = write!(io::stderr(), "{clear}");
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Shows what runs, until it is cancelled.
    fn show(&self, cx: &mut Cx) -> io::Result<()> {
        if !io::stderr().is_terminal() {
            return Ok(());
        }
        loop {
            cx.sleep(Duration::from_millis(100))?;
            let now = cx.now();
            let text = self.change(|state| {
                let running = state.running.values().map(|(text, began)| {
                    format!("{} ({} s)", cut(text, 20), (now - *began).as_secs())
                });
                let running: Vec<String> = running.collect();
                format!("{} wait; now: {}", state.waiting, running.join(", "))
            });
            let _ = write!(io::stderr(), "\r\x1b[K{}", cut(&text, 100));
        }
    }
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
