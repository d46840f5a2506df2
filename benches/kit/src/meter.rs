//! Times the passes of one question inside one process.
//!
//! Synchronous and asynchronous code measure in the same way: they start a pass and stop it. The first
//! pass warms stacks, caches and the allocator, and does not count.

use std::time::{Duration, Instant};

use crate::stats::median;

/// Collects passes until the budget of time is used up.
#[derive(Debug)]
pub struct Meter {
    budget: Duration,
    begun: Option<Instant>,
    is_warm: bool,
    /// Nanoseconds per operation, one entry for each pass that counts.
    passes: Vec<f64>,
}

/// A pass that has begun.
#[derive(Debug)]
#[must_use = "a pass counts when `Meter::stop` is called with it"]
pub struct Pass(Instant);

impl Meter {
    /// A meter that asks for passes for about `budget`, and for two at least: one to warm up, one to
    /// count.
    pub fn new(budget: Duration) -> Meter {
        Meter { budget, begun: None, is_warm: false, passes: Vec::new() }
    }

    /// Whether another pass is wanted.
    pub fn wants_more(&mut self) -> bool {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        self.passes.is_empty() || begun.elapsed() < self.budget
    }

    /// Whether a pass has ended, so that the next one counts.
    pub fn is_warm(&self) -> bool {
        self.is_warm
    }

    /// The budget of time.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// One pass after the other, each of so many `operations`.
    ///
    /// # Errors
    ///
    /// That of the first pass that fails.
    pub fn try_passes<E>(
        &mut self,
        operations: usize,
        mut work: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        while self.wants_more() {
            let pass = self.start();
            work()?;
            self.stop(pass, operations);
        }
        Ok(())
    }

    /// As [`try_passes`](Meter::try_passes), of work that cannot fail, and the answer.
    pub fn passes(&mut self, operations: usize, mut work: impl FnMut()) -> f64 {
        let done = self.try_passes(operations, || {
            work();
            Ok::<(), std::convert::Infallible>(())
        });
        match done {
            Ok(()) => self.ns_per_operation(),
        }
    }

    /// Begins a pass.
    pub fn start(&self) -> Pass {
        Pass(Instant::now())
    }

    /// Ends a pass in which `operations` were done.
    pub fn stop(&mut self, pass: Pass, operations: usize) {
        let elapsed = pass.0.elapsed();
        if std::mem::replace(&mut self.is_warm, true) {
            self.passes.push(elapsed.as_nanos() as f64 / operations as f64);
        }
    }

    /// Ends a pass that began at a moment of its own.
    pub fn stop_since(&mut self, begun: Instant, operations: usize) {
        self.stop(Pass(begun), operations);
    }

    /// Nanoseconds per operation: the median of the passes.
    pub fn ns_per_operation(&self) -> f64 {
        median(&mut self.passes.clone())
    }
}
