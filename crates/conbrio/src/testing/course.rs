//! Courses for people: a list of choices as a short text, and as words.

use std::fmt::Write;

use crate::sched::{Scheduling, Step, WHICH_TASK};
use crate::util::choices::{Afterwards, Choice};

use super::session::Plan;

/// The text of a list of choices, for `CONBRIO_CHOICES`: `t` or `w` for what is scheduled (tasks or
/// workers), then the numbers, with `12z` for twelve zeros.
pub(super) fn text_of(scheduling: Scheduling, list: &[u32]) -> String {
    let mut text = match scheduling {
        Scheduling::Tasks => String::from("t"),
        Scheduling::Workers => String::from("w"),
    };
    for run in list.chunk_by(|a, b| *a == 0 && *b == 0) {
        let _ = match run {
            [0, 0, ..] => write!(text, ".{}z", run.len()),
            run => write!(text, ".{}", run[0]),
        };
    }
    text
}

/// What a text stands for.
pub(super) fn parse(text: &str) -> Option<Plan> {
    let mut parts = text.trim().split('.');
    let scheduling = match parts.next()? {
        "t" => Scheduling::Tasks,
        "w" => Scheduling::Workers,
        _ => return None,
    };
    let mut list = Vec::new();
    for part in parts {
        match part.strip_suffix('z') {
            Some(zeros) => {
                let zeros: usize = zeros.parse().ok().filter(|&zeros| zeros <= ZEROS_MAX)?;
                list.resize(list.len() + zeros, 0);
            }
            None => list.push(part.parse().ok()?),
        }
    }
    Some(plan_of(scheduling, list))
}

/// A run that follows `list`.
pub(super) fn plan_of(scheduling: Scheduling, list: Vec<u32>) -> Plan {
    let what = format!("CONBRIO_CHOICES={}", text_of(scheduling, &list));
    Plan { what, scheduling, list, afterwards: Afterwards::Ordinary }
}

/// The list that the environment asks for.
///
/// # Panics
///
/// If the variable holds anything else.
#[track_caller]
pub(super) fn from_environment() -> Option<Plan> {
    let value = std::env::var_os("CONBRIO_CHOICES")?;
    match value.to_str().and_then(parse) {
        Some(plan) => Some(plan),
        None => panic!(
            "CONBRIO_CHOICES is {value:?}, which is no list of choices: copy it as it was printed, like t.12z.1"
        ),
    }
}

/// Where two runs of the same list have parted, in words.
pub(super) fn difference(expected: &[Choice], found: &[Choice]) -> Option<String> {
    let words = |choice: Option<&Choice>| match choice {
        Some(choice) => words_of_choice(choice),
        None => String::from("the end of the run"),
    };
    let length = expected.len().max(found.len());
    let first = (0..length).find(|&index| expected.get(index) != found.get(index))?;
    let [expected, found] = [expected.get(first), found.get(first)].map(words);
    Some(format!("decision {first} was: {expected}; and is now: {found}"))
}

fn words_of_choice(choice: &Choice) -> String {
    let Choice { what, among, ordinary, chosen } = *choice;
    let is_preemption = what == WHICH_TASK && chosen >= ordinary;
    let preemption = if is_preemption { ", a preemption" } else { "" };
    format!("{what} ({chosen} of 0 to {}{preemption})", among - 1)
}

/// The steps of a run, a line each, with what was decided that is not ordinary. Of a long run, only the
/// steps with such decisions, and the last ones.
pub(super) fn words_of(choices: &[Choice], steps: &[Step], names: &[String]) -> String {
    let mut text = String::new();
    let mut skipped = false;
    let mut decisions = choices.iter().enumerate().peekable();
    for (index, step) in steps.iter().enumerate() {
        let mut take_until = |end: usize| {
            let mut unusual = Vec::new();
            while let Some((_, choice)) = decisions.next_if(|&(at, _)| at < end) {
                if choice.chosen != 0 {
                    unusual.push(words_of_choice(choice));
                }
            }
            unusual.join(", ")
        };
        let before = take_until(step.decisions_before);
        // The last decision before the next step is usually who takes it: that belongs to the next.
        let next = steps.get(index + 1).map_or(usize::MAX, |next| next.begun);
        let during = take_until(next);
        let is_plain = before.is_empty() && during.is_empty();
        if is_plain && steps.len() > STEPS_IN_FULL && index + STEPS_AT_END < steps.len() {
            if !skipped {
                text.push_str("      ...\n");
            }
            skipped = true;
            continue;
        }
        skipped = false;
        let mark = if is_plain { ' ' } else { '*' };
        let name = names.get(step.task as usize - 1).map_or("", String::as_str);
        let _ = write!(text, "  {mark} step {}: task {} '{name}'", index + 1, step.task);
        if step.workers > 1 {
            let _ = write!(text, " on worker {}", step.worker);
        }
        if !before.is_empty() {
            let _ = write!(text, ", by {before}");
        }
        if !during.is_empty() {
            let _ = write!(text, "; in it: {during}");
        }
        text.push('\n');
    }
    text
}

const ZEROS_MAX: usize = 1_000_000;
/// Runs up to this length are printed step by step.
const STEPS_IN_FULL: usize = 60;
/// So many of the last steps are printed of every run.
const STEPS_AT_END: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_its_text() {
        for list in [vec![], vec![0, 0, 0, 5, 0, 1, 1, 0, 0, 7], vec![3; 4]] {
            for scheduling in [Scheduling::Tasks, Scheduling::Workers] {
                let plan = parse(&text_of(scheduling, &list)).expect("a text that was written");
                assert_eq!((plan.scheduling, plan.list), (scheduling, list.clone()));
            }
        }
        assert_eq!(text_of(Scheduling::Tasks, &[0, 0, 1, 0, 12]), "t.2z.1.0.12");
        for wrong in ["", "x.1", "t.", "t.1.y", "t.99999999999z"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        let choice = |what, chosen| Choice { what, among: 3, ordinary: 1, chosen };
        let first = [choice("a", 0), choice("b", 1)];
        assert_eq!(difference(&first, &first), None);
        let text = difference(&first, &[choice("a", 0), choice("c", 2)]).unwrap();
        assert_eq!(text, "decision 1 was: b (1 of 0 to 2); and is now: c (2 of 0 to 2)");
        let text = difference(&first, &first[..1]).unwrap();
        assert_eq!(text, "decision 1 was: b (1 of 0 to 2); and is now: the end of the run");
    }
}
