//! Decisions that a run leaves open, drawn from one source and kept in the order in which they were made.
//!
//! A simulated run is a function of its program and of this list: with the same list it takes the same
//! course. Zero is always the most ordinary choice, so that a list that is cut short, or has more zeros,
//! stands for a simpler run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::priorities::Priorities;
use super::rng::Rng;

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Choice {
    /// What was decided.
    pub(crate) what: &'static str,
    /// How many possibilities there were: two at least.
    pub(crate) among: u32,
    /// So many of them, the first ones, are in the ordinary run of things; 1 <= ordinary <= among. The
    /// others depart from it, as a preemption does.
    pub(crate) ordinary: u32,
    pub(crate) chosen: u32,
}

/// What decides when the given list is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Chance, from this seed.
    Seed(u64),
    /// Chance, but of tasks the one with the highest priority; so many times in a run the highest one
    /// falls.
    Priorities { seed: u64, falls: usize },
    /// The most ordinary choice.
    Ordinary,
}

/// A source of decisions, shared by everything in one run.
pub(crate) struct Choices {
    state: Mutex<State>,
}

struct State {
    /// Decisions that are given.
    list: Vec<u32>,
    /// How many decisions were made.
    made: usize,
    /// `None` for ordinary choices after the list.
    chance: Option<Rng>,
    priorities: Option<Priorities>,
    /// What was decided, if somebody wants to know.
    record: Option<Vec<Choice>>,
}

impl Choices {
    /// Follows `list`, and `afterwards` when it is at its end.
    pub(crate) fn new(list: Vec<u32>, afterwards: Afterwards) -> Choices {
        let (chance, priorities) = match afterwards {
            Afterwards::Seed(seed) => (Some(Rng::new(seed)), None),
            Afterwards::Priorities { seed, falls } => {
                let chance = Rng::new(seed);
                let priorities = Priorities::new(&chance, falls);
                (Some(chance), Some(priorities))
            }
            Afterwards::Ordinary => (None, None),
        };
        Choices { state: Mutex::new(State { list, made: 0, chance, priorities, record: None }) }
    }

    /// Draws everything from `seed`.
    pub(crate) fn seeded(seed: u64) -> Choices {
        Choices::new(Vec::new(), Afterwards::Seed(seed))
    }

    /// Keeps what is decided.
    pub(crate) fn recorded(self) -> Choices {
        self.lock().record = Some(Vec::new());
        self
    }

    /// A number below `among`; each is as likely as the others. Where there is no choice, none is made.
    pub(crate) fn below(&self, what: &'static str, among: usize) -> usize {
        self.decide(what, among, 1, |chance, _| chance.below(among))
    }

    /// Whether something happens that happens once in `one_in` times.
    pub(crate) fn rarely(&self, what: &'static str, one_in: usize) -> bool {
        self.decide(what, 2, 1, |chance, _| usize::from(chance.below(one_in) == 0)) == 1
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub(crate) fn happens(&self, what: &'static str, per_mille: u16) -> bool {
        let happens = |chance: &Rng, _: Option<&mut Priorities>| {
            usize::from(chance.below(1000) < usize::from(per_mille))
        };
        self.decide(what, 2, 1, happens) == 1
    }

    /// Which of the tasks goes on, whose numbers are `candidates`: the `ordinary` first of them in the
    /// ordinary run of things.
    pub(crate) fn task(
        &self,
        what: &'static str,
        ordinary: usize,
        candidates: impl ExactSizeIterator<Item = u32>,
    ) -> usize {
        let among = candidates.len();
        self.decide(what, among, ordinary, |chance, priorities| match priorities {
            Some(priorities) => priorities.highest(chance, candidates),
            None => chance.below(among),
        })
    }

    /// A task has given way to all others: where tasks have priorities, it is the last one now.
    pub(crate) fn gave_way(&self, task: u32) {
        if let Some(priorities) = &mut self.lock().priorities {
            priorities.lower(task);
        }
    }

    fn decide(
        &self,
        what: &'static str,
        among: usize,
        ordinary: usize,
        draw: impl FnOnce(&Rng, Option<&mut Priorities>) -> usize,
    ) -> usize {
        if among < 2 {
            return 0;
        }
        let mut state = self.lock();
        let state = &mut *state;
        let given = state.list.get(state.made).copied();
        let chosen = match (given, &state.chance) {
            // A list that was made for another course may name more than there is.
            (Some(given), _) => (given as usize).min(among - 1),
            (None, Some(chance)) => draw(chance, state.priorities.as_mut()),
            (None, None) => 0,
        };
        state.made += 1;
        if let Some(record) = &mut state.record {
            let [among, ordinary, chosen] =
                [among, ordinary, chosen].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            record.push(Choice { what, among, ordinary, chosen });
        }
        chosen
    }

    /// How many decisions were made.
    pub(crate) fn made(&self) -> usize {
        self.lock().made
    }

    /// Takes out what was kept.
    pub(crate) fn take_record(&self) -> Vec<Choice> {
        self.lock().record.take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Choices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Choices").field("made", &self.made()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(choices: &Choices) -> Vec<u32> {
        choices.take_record().iter().map(|choice| choice.chosen).collect()
    }

    #[test]
    fn one_seed_gives_one_sequence_and_its_record_replays_it() {
        for afterwards in [Afterwards::Seed(7), Afterwards::Priorities { seed: 7, falls: 3 }] {
            let draw = |choices: &Choices| -> Vec<usize> {
                (2..50)
                    .map(|among| match among % 2 {
                        0 => choices.below("a number", among),
                        _ => choices.task("a task", 1, 0..among as u32),
                    })
                    .collect()
            };
            let first = Choices::new(Vec::new(), afterwards).recorded();
            let drawn = draw(&first);
            assert_eq!(drawn, draw(&Choices::new(Vec::new(), afterwards)));
            assert_eq!(drawn, draw(&Choices::new(chosen(&first), Afterwards::Ordinary)));
        }
    }

    #[test]
    fn after_the_list_come_ordinary_choices_and_too_great_ones_are_cut() {
        let choices = Choices::new(vec![1, 9], Afterwards::Ordinary).recorded();
        assert_eq!(choices.below("one", 3), 1);
        assert_eq!(choices.below("none is made", 1), 0);
        assert_eq!(choices.below("two", 3), 2);
        assert_eq!(choices.below("three", 3), 0);
        assert!(!choices.rarely("four", 1));
        assert_eq!(chosen(&choices), [1, 2, 0, 0]);
    }

    #[test]
    fn what_is_rare_happens() {
        let choices = Choices::seeded(1);
        let times = (0..1_000).filter(|_| choices.rarely("now and then", 10)).count();
        assert!((50..200).contains(&times), "{times}");
    }
}
