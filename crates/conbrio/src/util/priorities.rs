//! Tasks by priority: a schedule that finds bugs of few ordering constraints with few runs.
//!
//! Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic guarantees
//! of finding bugs" (ASPLOS 2010): each task has a priority drawn by chance, the highest one that can run
//! does, and at a few moments drawn by chance the highest falls below all others. A bug that needs `d`
//! ordering constraints shows, in a run of `k` steps of `n` tasks and with `d - 1` such moments, with a
//! probability of `1 / (n * k^(d - 1))` at least.
//!
//! The paper has to know `k`. Here it is drawn as well, since a run must depend on nothing but its seed.

use super::rng::Rng;

#[derive(Debug)]
pub(crate) struct Priorities {
    /// By the number of the task; zero for one that was not seen yet.
    of: Vec<u64>,
    /// Which decisions find the highest task falling.
    falls: Vec<u64>,
    made: u64,
    /// What the next one that falls gets. Counts down; 1 at least.
    lowest: u64,
}

impl Priorities {
    pub(crate) fn new(chance: &Rng, falls: usize) -> Priorities {
        let horizon = HORIZON_MIN << chance.below(HORIZON_SHIFTS);
        Priorities {
            of: Vec::new(),
            falls: (0..falls).map(|_| chance.below(horizon) as u64).collect(),
            made: 0,
            lowest: FALLEN_MAX,
        }
    }

    /// The index of the highest one of `candidates`, after one has fallen if this is the moment.
    pub(crate) fn highest(&mut self, chance: &Rng, candidates: impl Iterator<Item = u32>) -> usize {
        let candidates: Vec<u32> = candidates.collect();
        for &task in &candidates {
            let task = task as usize;
            if self.of.len() <= task {
                self.of.resize(task + 1, 0);
            }
            if self.of[task] == 0 {
                self.of[task] = chance.next() | (FALLEN_MAX + 1);
            }
        }
        let now = self.made;
        self.made += 1;
        let mut highest = self.position(&candidates);
        for _ in 0..self.falls.iter().filter(|&&at| at == now).count() {
            self.lower(candidates[highest]);
            highest = self.position(&candidates);
        }
        highest
    }

    fn position(&self, candidates: &[u32]) -> usize {
        let priority = |index: &usize| self.of[candidates[*index] as usize];
        // The first of equals.
        (0..candidates.len()).rev().max_by_key(priority).unwrap_or(0)
    }

    /// Puts `task` below all others.
    pub(crate) fn lower(&mut self, task: u32) {
        if let Some(priority) = self.of.get_mut(task as usize) {
            self.lowest = (self.lowest - 1).max(1);
            *priority = self.lowest;
        }
    }
}

/// The shortest length that is taken for that of a run, in decisions between tasks; the others are this
/// times a power of two.
const HORIZON_MIN: usize = 4;
const HORIZON_SHIFTS: usize = 8;
/// Priorities up to here are those of the fallen.
const FALLEN_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_runs_until_it_falls_and_the_last_fallen_is_the_lowest() {
        let chance = Rng::new(5);
        let mut priorities = Priorities::new(&chance, 0);
        let first = priorities.highest(&chance, [1, 2, 3].into_iter());
        for _ in 0..10 {
            assert_eq!(priorities.highest(&chance, [1, 2, 3].into_iter()), first);
        }
        let first = [1, 2, 3][first];
        priorities.lower(first);
        let second = [1, 2, 3][priorities.highest(&chance, [1, 2, 3].into_iter())];
        assert_ne!(first, second);
        priorities.lower(second);
        let left = priorities.highest(&chance, [first, second].into_iter());
        assert_eq!([first, second][left], first);
    }

    #[test]
    fn every_order_of_three_tasks_comes_up() {
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let chance = Rng::new(seed);
            let mut priorities = Priorities::new(&chance, 0);
            let mut left = vec![1, 2, 3];
            let mut order = Vec::new();
            while !left.is_empty() {
                order.push(left.remove(priorities.highest(&chance, left.clone().into_iter())));
            }
            orders.insert(order);
        }
        assert_eq!(orders.len(), 6);
    }
}
