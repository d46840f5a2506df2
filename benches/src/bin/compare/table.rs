//! The table of answers: medians with their spread, ratios, goals.

use conbrio_benches::stats::Spread;

use crate::question::{Goal, Question, System};

/// The samples of one question, one list for each system; the place in the list is the round.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    conbrio: Vec<f64>,
    tokio_current: Vec<f64>,
    tokio_multi: Vec<f64>,
}

impl Samples {
    pub(crate) fn add(&mut self, system: System, ns: f64) {
        match system {
            System::Conbrio => self.conbrio.push(ns),
            System::TokioCurrent => self.tokio_current.push(ns),
            System::TokioMulti => self.tokio_multi.push(ns),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answers(Vec<(Question, Samples)>);

impl Answers {
    pub(crate) fn new(questions: Vec<Question>) -> Answers {
        Answers(questions.into_iter().map(|question| (question, Samples::default())).collect())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (Question, Samples)> {
        self.0.iter_mut()
    }

    /// Nanoseconds per operation, as Markdown.
    pub(crate) fn print(&self) {
        println!("Nanoseconds per operation: median (least–greatest)\n");
        println!(
            "| question | conbrio | tokio current-thread | ratio | tokio multi-thread | ratio | to reach | |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for (question, samples) in &self.0 {
            print_row(question, samples);
        }
        println!();
    }
}

fn print_row(question: &Question, samples: &Samples) {
    let conbrio = Spread::of(&samples.conbrio);
    let current = beside(&samples.conbrio, &samples.tokio_current);
    let multi = beside(&samples.conbrio, &samples.tokio_multi);
    // The better rival is the one that the ratio is greater to.
    let ratio =
        [current, multi].iter().flatten().map(|(_, ratio)| ratio.median).fold(0.0, f64::max);
    let (goal, is_met) = match question.goal {
        Goal::OfTokio(part) => (format!("≤ {part} × tokio"), Some(ratio <= part)),
        Goal::OfCurrent(part) => (
            format!("≤ {part} × tokio current-thread"),
            current.map(|(_, ratio)| ratio.median <= part),
        ),
        Goal::Ns(ns, why) => (format!("≤ {ns} ns ({why})"), Some(conbrio.median <= ns)),
        Goal::Open => ("—".to_owned(), None),
    };
    let verdict = is_met.map_or("", |is_met| if is_met { "met" } else { "NOT MET" });
    let [(current, to_current), (multi, to_multi)] = [current, multi].map(|rival| {
        rival.map_or(("—".to_owned(), "—".to_owned()), |(spread, ratio)| {
            (spread.to_string(), format!("{:.3}", ratio.median))
        })
    });
    println!(
        "| {} | {conbrio} | {current} | {to_current} | {multi} | {to_multi} | {goal} | {verdict} |",
        question.text
    );
}

fn beside(conbrio: &[f64], rival: &[f64]) -> Option<(Spread, Spread)> {
    (!rival.is_empty()).then(|| (Spread::of(rival), Spread::of_ratios(conbrio, rival)))
}
