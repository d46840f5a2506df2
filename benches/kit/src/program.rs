//! What a program that is measured understands, so that one program can ask all of them.
//!
//! - `sample QUESTION WORKERS BUDGET_MS` measures in this process and prints one number: nanoseconds per
//!   operation. A program that has no such operation prints `none`; that is an answer, and no fault.
//! - `park TASKS` prints the memory of this process before, with so many waiting tasks, and after them.
//! - `serve WHAT CORE` prints the address of a server and runs until its standard input closes.
//!
//! A question may end in a number (`yield-1000`): so many tasks at the same time.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crate::child::end_with_parent;
use crate::meter::Meter;
use crate::os;

/// What a program can do. Whatever it cannot, it says `none` to.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// Nanoseconds per operation.
    pub sample: fn(Sample<'_>) -> Option<f64>,
    /// Holds so many waiting tasks and calls the hook between: see [`Parked`].
    pub park: Option<fn(usize, Parked)>,
    /// Runs the server of that name. It prints its address when it accepts.
    pub serve: fn(&str) -> Option<io::Result<()>>,
}

/// A question to answer.
#[derive(Debug)]
pub struct Sample<'a> {
    /// Its name, without the number of tasks.
    pub question: &'a str,
    /// The number at the end of the question's name, or 1.
    pub tasks: usize,
    /// How many threads run tasks.
    pub workers: usize,
    /// Takes the time.
    pub meter: Meter,
}

/// What [`Abilities::park`] calls: once when all tasks wait, once when all have ended.
pub type Parked = fn();

/// A server that nobody has.
pub fn serves_nothing(_: &str) -> Option<io::Result<()>> {
    None
}

/// Answers the question in the arguments of this process.
pub fn main(abilities: Abilities) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match answer(&abilities, &words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{words:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(abilities: &Abilities, words: &[&str]) -> io::Result<()> {
    match *words {
        ["sample", question, workers, budget_ms] => {
            let (question, tasks) = split(question);
            let meter = Meter::new(Duration::from_millis(number(budget_ms)? as u64));
            let sample = Sample { question, tasks, workers: number(workers)?, meter };
            print((abilities.sample)(sample));
            Ok(())
        }
        ["park", tasks] => {
            let tasks = number(tasks)?;
            let Some(park) = abilities.park else {
                print(None);
                return Ok(());
            };
            print_memory();
            park(tasks, print_memory);
            Ok(())
        }
        ["serve", what, core] => {
            end_with_parent();
            os::pin(number(core)?)?;
            match (abilities.serve)(what) {
                Some(served) => served,
                None => {
                    print(None);
                    Ok(())
                }
            }
        }
        ["spin", core] => {
            end_with_parent();
            os::spin(number(core)?)
        }
        _ => Err(io::Error::other(
            "usage: sample QUESTION WORKERS BUDGET_MS | park TASKS | serve WHAT CORE | spin CORE",
        )),
    }
}

fn print(answer: Option<f64>) {
    match answer {
        Some(ns) => println!("{ns}"),
        None => println!("none"),
    }
}

fn print_memory() {
    match crate::memory::Memory::of_this_process() {
        Ok(memory) => println!("{memory}"),
        Err(error) => eprintln!("memory of this process: {error}"),
    }
}

fn number(word: &str) -> io::Result<usize> {
    word.parse().map_err(|_| io::Error::other(format!("{word:?} is no number")))
}

/// `yield-1000` is `yield` with 1000 tasks.
fn split(question: &str) -> (&str, usize) {
    match question.rsplit_once('-') {
        Some((name, tasks)) if tasks.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, tasks.parse().unwrap_or(1))
        }
        _ => (question, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_number_of_tasks_is_at_the_end() {
        assert_eq!(split("yield-1000"), ("yield", 1000));
        assert_eq!(split("spawn-join"), ("spawn-join", 1));
    }
}
