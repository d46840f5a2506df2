//! Making a list of choices simpler for as long as the run that it stands for still fails.
//!
//! The list is what is reduced, not the program's input: every list stands for some run, so nothing has to
//! be kept valid. (MacIver and Donaldson, "Test-case reduction via test-case generation", ECOOP 2020;
//! halving the chunks is from Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
//! 2002.) Simpler means: fewer departures from the ordinary,
//! then fewer choices that are not the first, then a shorter list, then smaller numbers.
//!
//! Invariant: the current list is that of a run that was seen to fail.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How much a reduction may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) tries: usize,
    pub(super) time: Duration,
}

/// A run that fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failing {
    /// How many of its choices depart from the ordinary run of things.
    pub(super) departures: usize,
    /// What was decided, without the zeros at the end.
    pub(super) list: Vec<u32>,
}

/// What became of a list.
#[derive(Debug)]
pub(super) struct Shrunk {
    pub(super) list: Vec<u32>,
    pub(super) tries: usize,
    /// Whether nothing simpler was left to be tried.
    pub(super) is_done: bool,
}

/// Reduces the list of `run`. `fails` runs a list, and returns the run if it fails in the same way.
pub(super) fn shrink(
    run: Failing,
    limits: Limits,
    fails: impl FnMut(&[u32]) -> Option<Failing>,
) -> Shrunk {
    let Failing { departures, list } = run;
    let begun = Instant::now();
    let mut shrinker =
        Shrinker { list, departures, tries: 0, limits, begun, seen: HashSet::new(), fails };
    let is_done = loop {
        let before = shrinker.list.clone();
        let in_time = shrinker.cut_tail()
            && shrinker.clear_chunks()
            && shrinker.delete_chunks()
            && shrinker.lower_values();
        if !in_time || shrinker.list == before {
            break in_time;
        }
    };
    Shrunk { list: shrinker.list, tries: shrinker.tries, is_done }
}

struct Shrinker<F> {
    list: Vec<u32>,
    departures: usize,
    tries: usize,
    limits: Limits,
    begun: Instant,
    /// What was tried.
    seen: HashSet<Vec<u32>>,
    fails: F,
}

/// The passes return `false` when a limit is reached.
impl<F: FnMut(&[u32]) -> Option<Failing>> Shrinker<F> {
    /// `Some(true)` if the candidate fails and was taken over, `None` when a limit is reached.
    fn attempt(&mut self, mut candidate: Vec<u32>) -> Option<bool> {
        let length = candidate.iter().rposition(|&chosen| chosen != 0).map_or(0, |last| last + 1);
        candidate.truncate(length);
        if complexity(&candidate) >= complexity(&self.list) || self.seen.contains(&candidate) {
            return Some(false);
        }
        if self.tries >= self.limits.tries || self.begun.elapsed() >= self.limits.time {
            return None;
        }
        self.tries += 1;
        let run = (self.fails)(&candidate);
        self.seen.insert(candidate);
        // What was decided may differ from the candidate, which can be too long or name too much.
        let current = (self.departures, complexity(&self.list));
        match run {
            Some(run) if (run.departures, complexity(&run.list)) < current => {
                self.departures = run.departures;
                self.list = run.list;
                Some(true)
            }
            _ => Some(false),
        }
    }

    /// Looks for the shortest beginning that does, by halves.
    fn cut_tail(&mut self) -> bool {
        let (mut short, mut long) = (0, self.list.len());
        while short < long {
            let middle = (short + long) / 2;
            match self.attempt(self.list[..middle.min(self.list.len())].to_vec()) {
                None => return false,
                Some(true) => long = middle.min(self.list.len()),
                Some(false) => short = middle + 1,
            }
        }
        true
    }

    /// Makes ever smaller ranges ordinary.
    fn clear_chunks(&mut self) -> bool {
        self.for_chunks(self.list.len(), |list, start, end| list[start..end].fill(0))
    }

    /// Takes out ever smaller ranges.
    fn delete_chunks(&mut self) -> bool {
        self.for_chunks(DELETED_MAX, |list, start, end| drop(list.drain(start..end)))
    }

    /// Tries `change` on all chunks of one size from the back, then on those of half the size.
    fn for_chunks(&mut self, largest: usize, change: impl Fn(&mut Vec<u32>, usize, usize)) -> bool {
        let mut size = largest.max(1);
        loop {
            let mut end = self.list.len();
            while end > 0 {
                let start = end.saturating_sub(size);
                let mut candidate = self.list.clone();
                change(&mut candidate, start, end);
                if self.attempt(candidate).is_none() {
                    return false;
                }
                end = start.min(self.list.len());
            }
            if size == 1 {
                return true;
            }
            size /= 2;
        }
    }

    /// Makes single choices smaller.
    fn lower_values(&mut self) -> bool {
        let mut index = self.list.len();
        while index > 0 {
            index -= 1;
            let mut low = 0;
            while let Some(&chosen) = self.list.get(index)
                && low < chosen
            {
                let mut candidate = self.list.clone();
                candidate[index] = low;
                match self.attempt(candidate) {
                    None => return false,
                    Some(true) => break,
                    // From 0 up, then by halves: small numbers are few, and great ones are many.
                    Some(false) if low < SMALL => low += 1,
                    Some(false) => low += (chosen - low).div_ceil(2),
                }
            }
        }
        true
    }
}

/// What is compared to tell which of two lists is simpler.
fn complexity(list: &[u32]) -> (usize, usize, &[u32]) {
    (list.iter().filter(|&&chosen| chosen != 0).count(), list.len(), list)
}

/// The longest range of choices that is taken out as a whole.
const DELETED_MAX: usize = 8;
/// Numbers up to this one are all tried.
const SMALL: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { tries: 1_000, time: Duration::from_secs(60) };

    /// A run whose decisions are all like preemptions.
    fn run_of(list: &[u32]) -> Failing {
        let length = list.iter().rposition(|&chosen| chosen != 0).map_or(0, |last| last + 1);
        let departures = list.iter().filter(|&&chosen| chosen != 0).count();
        Failing { departures, list: list[..length].to_vec() }
    }

    #[test]
    fn what_does_not_matter_becomes_ordinary() {
        let list: Vec<u32> = (0..200).map(|i| i % 7).collect();
        let shrunk = shrink(run_of(&list), LIMITS, |list| {
            let at = |index: usize| list.get(index).copied().unwrap_or(0);
            (at(17) >= 2 && at(60) == 4).then(|| run_of(list))
        });
        let mut expected = vec![0; 61];
        expected[17] = 2;
        expected[60] = 4;
        assert_eq!(shrunk.list, expected);
        assert!(shrunk.is_done && shrunk.tries < 300, "{shrunk:?}");
    }

    #[test]
    fn what_comes_too_early_moves_to_the_front() {
        // It fails if the first choice that is not ordinary is a 3, wherever it is.
        let shrunk = shrink(run_of(&[0, 0, 0, 0, 0, 0, 0, 3, 1, 1]), LIMITS, |list| {
            (list.iter().find(|&&chosen| chosen != 0) == Some(&3)).then(|| run_of(list))
        });
        assert_eq!(shrunk.list, [3]);
    }

    #[test]
    fn a_failure_that_needs_nothing_has_the_empty_list_and_limits_are_kept() {
        assert!(shrink(run_of(&[1; 50]), LIMITS, |list| Some(run_of(list))).list.is_empty());
        let mut runs = 0;
        let limits = Limits { tries: 5, ..LIMITS };
        let shrunk = shrink(run_of(&[1; 50]), limits, |_| {
            runs += 1;
            None
        });
        assert_eq!((shrunk.list, runs, shrunk.is_done), (vec![1; 50], 5, false));
    }

    #[test]
    fn a_run_with_more_preemptions_is_not_simpler_however_short_it_is() {
        let run = Failing { departures: 0, list: vec![1, 1] };
        let shrunk = shrink(run, LIMITS, |list| {
            (list == [1]).then(|| Failing { departures: 1, list: vec![2] })
        });
        assert_eq!(shrunk.list, [1, 1]);
    }
}
