//! What an exploration has seen.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::sched::Scheduling;
use crate::util::choices::Choice;

/// What the runs of an [`explore`](super::explore) have covered.
///
/// # Examples
///
/// ```
/// let seen = conbrio::testing::explore(0..20, |cx| cx.yield_now().unwrap());
/// assert_eq!(seen.runs(), 20);
/// println!("{seen}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    runs: u64,
    steps: u64,
    courses: HashSet<u64>,
    coverage: Vec<Coverage>,
}

/// How often one kind of decision was made, and how many of its possibilities were taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Coverage {
    /// What was decided.
    pub what: &'static str,
    /// How often.
    pub times: u64,
    /// How many possibilities there were at most.
    pub among: u32,
    /// How many different ones were taken; of more than 64, those after the 64th count as one.
    pub taken: u32,
    bits: u64,
}

impl Exploration {
    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many steps all runs took together: turns of tasks.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many of the runs differed from all others in what was decided. If it stays far below the number
    /// of runs, more seeds will find little that is new.
    #[must_use]
    pub fn distinct_courses(&self) -> usize {
        self.courses.len()
    }

    /// Each kind of decision that was made.
    #[must_use]
    pub fn coverage(&self) -> &[Coverage] {
        &self.coverage
    }

    pub(super) fn add(
        &mut self,
        scheduling: Scheduling,
        list: &[u32],
        choices: &[Choice],
        steps: u64,
    ) {
        self.runs += 1;
        self.steps += steps;
        let mut hasher = DefaultHasher::new();
        (scheduling == Scheduling::Tasks, list).hash(&mut hasher);
        self.courses.insert(hasher.finish());
        for choice in choices {
            self.kind(choice.what).add(choice);
        }
    }

    /// There are few kinds; a walk is faster than a map.
    fn kind(&mut self, what: &'static str) -> &mut Coverage {
        let is_it = |kind: &Coverage| std::ptr::eq(kind.what, what) || kind.what == what;
        let index = match self.coverage.iter().position(is_it) {
            Some(index) => index,
            None => {
                self.coverage.push(Coverage { what, times: 0, among: 0, taken: 0, bits: 0 });
                self.coverage.len() - 1
            }
        };
        &mut self.coverage[index]
    }
}

impl Coverage {
    fn add(&mut self, choice: &Choice) {
        self.times += 1;
        self.among = self.among.max(choice.among);
        self.bits |= 1 << choice.chosen.min(u64::BITS - 1);
        self.taken = self.bits.count_ones();
    }
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} distinct courses, {} steps",
            self.runs,
            self.courses.len(),
            self.steps
        )?;
        for kind in &self.coverage {
            let Coverage { what, times, among, taken, .. } = kind;
            let possible = (*among).min(u64::BITS);
            write!(f, "\n  {what}: {times} times, {taken} of {possible} possibilities")?;
        }
        Ok(())
    }
}
