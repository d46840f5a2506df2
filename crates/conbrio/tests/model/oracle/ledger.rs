//! The model's account of what must be dropped: closures, values of children, values given to `ready`.
//!
//! Each of them is made once and dropped once. Some drops are owed at once, before anybody does anything
//! else; all of them before the nursery of the task has been left.

use crate::program::TaskId;
use crate::trace::Canary;

use super::{Checked, broken, check};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Life {
    #[default]
    Unmade,
    Made,
    Gone,
}

#[derive(Debug)]
pub(super) struct Ledger {
    closures: Vec<Life>,
    values: Vec<Life>,
    ready: Vec<Life>,
    /// To be dropped before the next step of any task.
    owed: Vec<Canary>,
}

impl Ledger {
    pub(super) fn new(tasks: usize) -> Ledger {
        let unmade = || vec![Life::Unmade; tasks];
        Ledger { closures: unmade(), values: unmade(), ready: unmade(), owed: Vec::new() }
    }

    fn life(&mut self, canary: Canary) -> &mut Life {
        let (lives, task) = match canary {
            Canary::Closure(task) => (&mut self.closures, task),
            Canary::Value(task) => (&mut self.values, task),
            Canary::Ready(task) => (&mut self.ready, task),
        };
        &mut lives[usize::from(task)]
    }

    pub(super) fn made(&mut self, canary: Canary) {
        *self.life(canary) = Life::Made;
    }

    pub(super) fn is_alive(&mut self, canary: Canary) -> bool {
        *self.life(canary) == Life::Made
    }

    /// It is dropped before anybody does anything else, if it is still there.
    pub(super) fn owe(&mut self, canary: Canary) {
        if self.is_alive(canary) {
            self.owed.push(canary);
        }
    }

    pub(super) fn dropped(&mut self, canary: Canary) -> Checked {
        let life = self.life(canary);
        if *life != Life::Made {
            return broken("what is made is dropped once", format!("{canary:?} was {life:?}"));
        }
        *life = Life::Gone;
        self.owed.retain(|owed| *owed != canary);
        Ok(())
    }

    pub(super) fn nothing_owed(&self) -> Checked {
        check("nothing outlives its last user", self.owed.is_empty(), || {
            format!("{:?} should have been dropped by now", self.owed)
        })
    }

    /// A nursery has been left: nothing of its children is left.
    pub(super) fn left_nursery(&mut self, children: &[TaskId]) -> Checked {
        for &child in children {
            for canary in [Canary::Closure(child), Canary::Value(child)] {
                check("what a child made ends with its nursery", !self.is_alive(canary), || {
                    format!("{canary:?} is still there")
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn all_dropped(&self) -> Checked {
        for lives in [&self.closures, &self.values, &self.ready] {
            let left = lives.iter().position(|life| *life == Life::Made);
            check("what is made is dropped once", left.is_none(), || {
                format!("something of t{left:?} was never dropped")
            })?;
        }
        Ok(())
    }
}
