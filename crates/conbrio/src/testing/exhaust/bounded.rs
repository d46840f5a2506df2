//! The runs with few preemptions first, up to a bound.
//!
//! Stateless search (Godefroid, "Model checking for programming languages using VeriSoft", POPL 1997): a
//! run is replayed up to some decision, takes the next possibility there, and ordinary choices from then
//! on. What is bounded is not the depth but the number of departures from the ordinary, which are
//! preemptions above all, and runs with fewer of them come first (Musuvathi and Qadeer, "Iterative context
//! bounding for systematic testing of multithreaded programs", PLDI 2007). So a failure is found with as
//! few preemptions as it needs.
//!
//! Invariant: each run is made once, namely from the longest of its beginnings that ends with a choice
//! other than the first.

use std::rc::Rc;

use crate::sched::Turn;
use crate::util::choices::Choice;

use super::super::course::difference;
use super::{AMONG_MAX, Exhausted, Tree};

/// See the module's documentation.
pub(super) struct Bounded {
    /// The decisions of the current run, and of the next one up to its last.
    path: Vec<Choice>,
    /// So many of `path`, the first ones, belong to all runs of this part of the search.
    fixed: usize,
    /// How many preemptions the runs of this level have. level <= bound
    level: usize,
    bound: usize,
    runs_max: u64,
    /// What is left of this level, and what belongs to the next.
    this_level: Vec<Branch>,
    next_level: Vec<Branch>,
    /// Branches that were forgotten, because there would be more runs than there may be.
    forgotten: u64,
}

/// A part of the search: the runs that begin like an earlier one up to a decision and differ there.
struct Branch {
    run: Rc<[Choice]>,
    at: usize,
    chosen: u32,
}

impl Bounded {
    pub(super) fn new(bound: usize, runs_max: u64) -> Bounded {
        Bounded {
            path: Vec::new(),
            fixed: 0,
            level: 0,
            bound,
            runs_max,
            this_level: Vec::new(),
            next_level: Vec::new(),
            forgotten: 0,
        }
    }

    /// Runs that are certain to come: there is one for each branch at least.
    fn pending(&self) -> u64 {
        (self.this_level.len() + self.next_level.len()) as u64
    }
}

impl Tree for Bounded {
    fn list(&self) -> Vec<u32> {
        self.path.iter().map(|choice| choice.chosen).collect()
    }

    fn take_in(
        &mut self,
        choices: &[Choice],
        _turns: &mut [Turn],
        seen: &mut Exhausted,
    ) -> Result<(), String> {
        let known = choices.len().min(self.path.len());
        if let Some(difference) = difference(&self.path, &choices[..known]) {
            return Err(difference);
        }
        self.path.extend(&choices[known..]);
        let mut run = None;
        for (at, choice) in choices.iter().enumerate().skip(known) {
            if choice.among > AMONG_MAX {
                seen.too_many += 1;
                continue;
            }
            for chosen in choice.ordinary..choice.among {
                if self.level == self.bound {
                    seen.cut += 1;
                } else if seen.runs + self.pending() >= self.runs_max {
                    self.forgotten += 1;
                } else {
                    let run = Rc::clone(run.get_or_insert_with(|| Rc::from(choices)));
                    self.next_level.push(Branch { run, at, chosen });
                }
            }
        }
        Ok(())
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn advance(&mut self) -> bool {
        while self.path.len() > self.fixed
            && let Some(choice) = self.path.last_mut()
        {
            if choice.among <= AMONG_MAX && choice.chosen + 1 < choice.ordinary {
                choice.chosen += 1;
                return true;
            }
            self.path.pop();
        }
        if self.this_level.is_empty() {
            if self.next_level.is_empty() {
                return false;
            }
            self.level += 1;
            self.this_level = std::mem::take(&mut self.next_level);
            // The last is taken first.
            self.this_level.reverse();
        }
        if let Some(branch) = self.this_level.pop() {
            self.path.clear();
            self.path.extend(&branch.run[..=branch.at]);
            self.path[branch.at].chosen = branch.chosen;
        }
        self.fixed = self.path.len();
        true
    }
}
