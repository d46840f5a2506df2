//! Runs that stand for all others, which differ from one of them in the order of independent turns only.
//!
//! Dynamic partial-order reduction (Flanagan and Godefroid, POPL 2005) with source sets and sleep sets
//! (Abdulla, Aronis, Jonsson and Sagonas, "Optimal dynamic partial order reduction", POPL 2014, algorithm 1).
//!
//! A run is looked through for *races*: two turns that depend on each other, of which nothing in between makes
//! the second come after the first. For each of them some run must take the second one first. It begins like
//! this run up to the first of the two, and goes on there with one of the tasks that the turns which do not
//! come of the first begin with. If one of those is to be tried there anyway, nothing has to be added.
//!
//! When all runs that go on from a decision with some task have been made, the task falls asleep there, and
//! stays so in the runs that go on with another one until they take a turn that its own depends on. A run
//! in which a task takes a turn asleep is an earlier run in another order. This is seen when the run has been
//! made, not before: what a turn touches is known by addresses, which are good for one run. Such a run
//! is counted as a repetition, and nothing comes of what it does from there on.
//!
//! Two turns that are equal have the same effect wherever they stand, because what a task does next depends
//! on what it has seen, and that is in the footprints (`util/footprint.rs`). Where it is not, the user has to
//! say it: `touch`. What no task does (time passes, a deadline comes) happens when nothing can run, or by a
//! decision, of which every possibility is tried: it is ordered with all turns.
//!
//! Invariant: the turns of the current run up to a decision, with each possibility that is marked there, stand
//! for all runs with this beginning.

use std::collections::{BTreeSet, HashMap};

use crate::sched::{Turn, WHICH_TASK};
use crate::util::choices::Choice;
use crate::util::footprint::Dependence;

use super::super::course::difference;
use super::{AMONG_MAX, Exhausted, Tree};

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Reduced {
    /// The decisions of the current run, and of the next one up to its last.
    path: Vec<Node>,
}

/// A decision.
struct Node {
    choice: Choice,
    /// What is to be chosen here, and has not been.
    wanted: BTreeSet<u32>,
    /// What has been chosen here.
    done: BTreeSet<u32>,
    /// Whether some run went on from here that was not asleep.
    is_passed: bool,
}

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    New,
    /// From some turn on as an earlier one, but for the order of independent turns.
    Asleep,
}

impl Node {
    fn want(&mut self, chosen: u32) {
        if !self.done.contains(&chosen) {
            self.wanted.insert(chosen);
        }
    }

    fn has(&self, chosen: u32) -> bool {
        self.done.contains(&chosen) || self.wanted.contains(&chosen)
    }
}

impl Tree for Reduced {
    fn list(&self) -> Vec<u32> {
        self.path.iter().map(|node| node.choice.chosen).collect()
    }

    fn take_in(
        &mut self,
        choices: &[Choice],
        turns: &mut [Turn],
        seen: &mut Exhausted,
    ) -> Result<(), String> {
        let known = choices.len().min(self.path.len());
        let expected: Vec<Choice> = self.path.iter().map(|node| node.choice).collect();
        if let Some(difference) = difference(&expected, &choices[..known]) {
            return Err(difference);
        }
        for choice in &choices[known..] {
            let is_scheduling = choice.what == WHICH_TASK;
            let mut node = Node {
                choice: *choice,
                wanted: BTreeSet::new(),
                done: BTreeSet::from([choice.chosen]),
                is_passed: false,
            };
            if choice.among > AMONG_MAX {
                seen.too_many += 1;
            } else if !is_scheduling {
                (0..choice.among).for_each(|chosen| node.want(chosen));
            }
            self.path.push(node);
        }
        // What else is decided in a turn may depend on anything.
        for (at, choice) in choices.iter().enumerate() {
            let turn = turns.partition_point(|turn| turn.decision <= at);
            if choice.what != WHICH_TASK && turn > 0 {
                turns[turn - 1].footprint.widen();
            }
        }
        // Races among earlier turns have been found in an earlier run.
        let new = turns.partition_point(|turn| turn.decision < known.saturating_sub(1));
        if self.find_races(turns, new.saturating_sub(1)) == Found::Asleep {
            seen.repeated += 1;
        }
        Ok(())
    }

    fn advance(&mut self) -> bool {
        while let Some(node) = self.path.last_mut() {
            if let Some(chosen) = node.wanted.pop_first() {
                node.done.insert(chosen);
                node.choice.chosen = chosen;
                return true;
            }
            self.path.pop();
        }
        false
    }
}

impl Reduced {
    /// Looks for races of which the second turn is `from` or a later one.
    fn find_races(&mut self, turns: &[Turn], from: usize) -> Found {
        // For each turn those that it comes after, whatever the order of independent ones.
        let mut before: Vec<Set> = Vec::with_capacity(turns.len());
        // For each task that can run, the turn that made it so.
        let mut enabled_by: HashMap<u32, Option<usize>> = HashMap::new();
        // For each count the last turn in which it came to its end.
        let mut ended: HashMap<usize, usize> = HashMap::new();
        // The first turn since something happened that no task did, which comes after all that was before.
        let mut start = 0;
        for (second, turn) in turns.iter().enumerate() {
            if turn.after_break {
                start = second;
            }
            let last = second.checked_sub(1);
            let stayed = |task: u32| {
                last.is_some_and(|last| {
                    turns[last].task != task && turns[last].candidates.contains(&task)
                })
            };
            enabled_by.retain(|&task, _| stayed(task));
            for &task in &turn.candidates {
                enabled_by.entry(task).or_insert(last);
            }
            let enabler = enabled_by[&turn.task];
            let (mut its, mut races) = (Set::new(turns.len()), Vec::new());
            for first in (start..second).rev() {
                if its.contains(first) {
                    continue;
                }
                let comes_of_it = turns[first].task == turn.task || enabler == Some(first);
                let has_ended = |count| ended.get(&count).is_some_and(|last| *last >= first);
                let how = turns[first].footprint.before(&turn.footprint, has_ended);
                if how == Dependence::Races && !comes_of_it {
                    races.push(first);
                }
                if how != Dependence::Nothing || comes_of_it {
                    its.insert(first);
                    its.add(&before[first]);
                }
            }
            before.push(its);
            ended.extend(turn.footprint.ended().map(|count| (count, second)));
            if second >= from {
                if self.is_asleep(turns, &before, start, second) {
                    self.give_up(turns, second);
                    return Found::Asleep;
                }
                if turn.candidates.len() > 1 {
                    self.path[turn.decision].is_passed = true;
                }
                for first in races {
                    self.reverse(turns, &before, first, second);
                }
            }
        }
        Found::New
    }

    /// Whether a run that does the last of `before` earlier has been made already: at a decision since
    /// `start` its task was chosen before what was chosen now, and nothing since then has made a difference
    /// to it.
    fn is_asleep(&self, turns: &[Turn], before: &[Set], start: usize, turn: usize) -> bool {
        let since = (start..turn).rev().take_while(|&other| !before[turn].contains(other));
        let mut chances = since.filter_map(|other| self.place(&turns[other], turns[turn].task));
        chances.any(|(node, place)| node.done.contains(&place))
    }

    /// The rest of the run, from a turn that is asleep, is that of an earlier one.
    fn give_up(&mut self, turns: &[Turn], turn: usize) {
        let Turn { decision, candidates, .. } = &turns[turn];
        if candidates.len() < 2 {
            self.path.truncate(*decision);
            return;
        }
        self.path.truncate(decision + 1);
        let node = &mut self.path[*decision];
        if !node.is_passed {
            let other = (0..node.choice.among.min(AMONG_MAX)).find(|place| !node.has(*place));
            node.wanted.extend(other);
        }
    }

    /// Sees to it that a run is made in which `second` does not come after `first`.
    fn reverse(&mut self, turns: &[Turn], before: &[Set], first: usize, second: usize) {
        // What does not come of the first turn could be done without it, and then the second one.
        let rest: Vec<usize> = (first + 1..=second)
            .filter(|&turn| turn == second || !before[turn].contains(first))
            .collect();
        let begins = |turn: &&usize| !rest.iter().any(|&other| before[**turn].contains(other));
        // The second one first, if it is among them.
        let initial: Vec<u32> = rest
            .iter()
            .rev()
            .filter(begins)
            .filter_map(|&turn| self.place(&turns[first], turns[turn].task))
            .map(|(_, place)| place)
            .collect();
        // Where there was no choice, every order has what there is.
        let Some(node) = self.path.get_mut(turns[first].decision) else { return };
        if turns[first].candidates.len() < 2
            || node.choice.among > AMONG_MAX
            || initial.iter().any(|place| node.has(*place))
        {
            return;
        }
        match initial.first() {
            Some(&place) => _ = node.wanted.insert(place),
            None => (0..node.choice.among).for_each(|place| node.want(place)),
        }
    }

    /// The decision about a turn, and which of its possibilities the task is.
    fn place(&self, turn: &Turn, task: u32) -> Option<(&Node, u32)> {
        let place = turn.candidates.iter().position(|&candidate| candidate == task)?;
        let node = self.path.get(turn.decision).filter(|_| turn.candidates.len() > 1)?;
        Some((node, u32::try_from(place).ok()?))
    }
}

/// A set of turns.
struct Set(Vec<u64>);

impl Set {
    fn new(turns: usize) -> Set {
        Set(vec![0; turns.div_ceil(64)])
    }

    fn contains(&self, turn: usize) -> bool {
        self.0[turn / 64] >> (turn % 64) & 1 == 1
    }

    fn insert(&mut self, turn: usize) {
        self.0[turn / 64] |= 1 << (turn % 64);
    }

    fn add(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, its)| *mine |= its);
    }
}
