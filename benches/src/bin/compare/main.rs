//! What does an operation cost in conbrio, and what beside tokio, on this machine, in this run?
//!
//! Each sample is a fresh process; the samples of all systems take turns, so that a change of the
//! machine's mood meets all of them; a ratio is the median of the ratios of samples taken in the same
//! round. What would change our minds about the design: a ratio above its goal in several runs.
//!
//! Run: `cargo run --release -p conbrio-benches --bin compare [-- --quick] [filter]`

// spec: S64

mod census;
mod conbrio_side;
mod echo;
mod question;
mod table;
mod tokio_side;

use std::io;
use std::time::Duration;

use conbrio_benches::meter::Meter;
use conbrio_benches::{child, machine};

use question::{QUESTIONS, Question, System};
use table::Answers;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["sample", question, system, budget_ms] => sample(question, system, budget_ms),
        ["serve", server] => echo::serve(server),
        ["spin"] => echo::spin(),
        _ => compare(&words),
    }
}

/// In a child process: measures one question for one system and prints nanoseconds per operation.
fn sample(question: &str, system: &str, budget_ms: &str) -> io::Result<()> {
    let invalid = || io::Error::other(format!("sample {question} {system} {budget_ms}: not known"));
    let question = Question::by_key(question).ok_or_else(invalid)?;
    let system = System::ALL.into_iter().find(|s| s.key() == system).ok_or_else(invalid)?;
    let budget = Duration::from_millis(budget_ms.parse().map_err(|_| invalid())?);
    let meter = Meter::new(budget);
    let ns = match system {
        System::Conbrio => conbrio_side::measure(question.work, question.workers, meter),
        _ => tokio_side::measure(system, question.work, question.workers, meter),
    };
    println!("{ns}");
    Ok(())
}

fn compare(words: &[&str]) -> io::Result<()> {
    let is_quick = words.contains(&"--quick");
    let mut filters = words.iter().filter(|word| **word != "--quick");
    let filter = filters.next().copied().unwrap_or_default();
    if filter.starts_with('-') || filters.next().is_some() {
        return Err(io::Error::other("usage: compare [--quick] [a part of a question's name]"));
    }
    let chosen = |key: &str, text: &str| key.contains(filter) || text.contains(filter);
    let questions: Vec<Question> =
        QUESTIONS.iter().copied().filter(|q| chosen(q.key, q.text)).collect();
    let wants_echo = chosen("echo", "TCP echo");
    if questions.is_empty() && !wants_echo {
        return Err(io::Error::other(format!("no question has {filter:?} in its name")));
    }

    println!("{}\n", machine::line());
    if let Some(warning) = machine::warning() {
        println!("{warning}\n");
    }
    if !questions.is_empty() {
        let mut answers = Answers::new(questions);
        for round in 1..=ROUNDS {
            eprintln!("round {round} of {ROUNDS}");
            ask_all(&mut answers, is_quick)?;
        }
        answers.print();
    }
    if wants_echo {
        echo::compare(is_quick)?;
    }
    Ok(())
}

/// One round: a sample of each question for each system.
fn ask_all(answers: &mut Answers, is_quick: bool) -> io::Result<()> {
    let budget_ms = if is_quick { "30" } else { "150" };
    for (question, samples) in answers.iter_mut() {
        for system in System::ALL.into_iter().filter(|system| question.is_for(*system)) {
            let numbers = child::numbers(&["sample", question.key, system.key(), budget_ms])?;
            samples.add(system, numbers[0]);
        }
    }
    Ok(())
}

/// Odd, so that the median is a sample.
const ROUNDS: usize = 5;
