//! The table of answers: medians with their spread, ratios, goals.

use std::fmt;
use std::io;

use conbrio_bench_kit::stats::{Spread, short};

use crate::questions::{Goal, Question};
use crate::systems::System;

/// What one system has said to one question; the place in the list is the round.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Samples(Vec<f64>),
    /// It has no such operation.
    None,
    /// There is no program.
    Missing,
    /// It was asked, and failed: not the same as having nothing to say.
    Failed,
}

impl Asked {
    pub(crate) fn is_still_open(&self) -> bool {
        matches!(self, Asked::Samples(_))
    }

    pub(crate) fn add(&mut self, answer: io::Result<Option<f64>>) {
        match (answer, &mut *self) {
            (Ok(Some(ns)), Asked::Samples(samples)) => samples.push(ns),
            (Ok(_), _) => *self = Asked::None,
            (Err(error), _) => {
                eprintln!("FAILED: {error}");
                *self = Asked::Failed;
            }
        }
    }

    fn samples(&self) -> Option<&[f64]> {
        match self {
            Asked::Samples(samples) if !samples.is_empty() => Some(samples),
            _ => None,
        }
    }
}

/// Questions, and what each system has said. conbrio is the first system.
#[derive(Debug)]
pub(crate) struct Answers {
    systems: &'static [System],
    rows: Vec<(Question, Vec<Asked>)>,
}

impl Answers {
    pub(crate) fn new(systems: &'static [System], questions: Vec<Question>) -> Answers {
        let open = || vec![Asked::Samples(Vec::new()); systems.len()];
        Answers { systems, rows: questions.into_iter().map(|q| (q, open())).collect() }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (Question, Vec<Asked>)> {
        self.rows.iter_mut()
    }

    fn verdict(&self, goal: Goal, row: &[Asked]) -> String {
        let Some(conbrio) = row[0].samples() else {
            return "not measured".to_owned();
        };
        let (goal, is_met) = match goal {
            Goal::Ns(ns, why) => {
                (format!("≤ {ns} ns ({why})"), Some(Spread::of(conbrio).median <= ns))
            }
            Goal::Of(part, rivals, name) => {
                let ratios = rivals.iter().filter_map(|rival| {
                    let place = self.systems.iter().position(|system| system == rival)?;
                    Some(Spread::of_ratios(conbrio, row[place].samples()?).median)
                });
                // The best rival is the one that the ratio is greatest to.
                let ratio = ratios.reduce(f64::max);
                let measured = ratio.map_or("no rival".to_owned(), |ratio| format!("{ratio:.2}"));
                (format!("≤ {part} × {name}: {measured}"), ratio.map(|ratio| ratio <= part))
            }
        };
        match is_met {
            Some(true) => format!("{goal}, met"),
            Some(false) => format!("{goal}, **missed**"),
            None => format!("{goal}, not judged"),
        }
    }
}

/// Markdown.
impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.systems.iter().map(|system| system.name).collect();
        writeln!(f, "| | {} | to reach |", names.join(" | "))?;
        writeln!(f, "|---|{}---|", "---|".repeat(names.len()))?;
        for (question, row) in &self.rows {
            let conbrio = row[0].samples();
            let cells: Vec<String> = row.iter().map(|asked| cell(asked, conbrio)).collect();
            let goals: Vec<String> =
                question.goals.iter().map(|goal| self.verdict(*goal, row)).collect();
            writeln!(f, "| {} | {} | {} |", question.text, cells.join(" | "), goals.join("; "))?;
        }
        Ok(())
    }
}

/// Median, least and greatest; of a rival also the ratio of conbrio to it.
fn cell(asked: &Asked, conbrio: Option<&[f64]>) -> String {
    let Some(samples) = asked.samples() else {
        return match asked {
            Asked::Missing => "missing",
            Asked::Failed => "failed",
            _ => "—",
        }
        .to_owned();
    };
    let Spread { median, least, greatest } = Spread::of(samples);
    let figures = format!("{} ({}–{})", short(median), short(least), short(greatest));
    match conbrio {
        Some(conbrio) if !std::ptr::eq(conbrio, samples) && conbrio.len() == samples.len() => {
            let ratio = Spread::of_ratios(conbrio, samples).median;
            format!("{figures} **{ratio:.2}**")
        }
        _ => figures,
    }
}
