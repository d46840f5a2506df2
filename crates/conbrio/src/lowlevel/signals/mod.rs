//! Listening to signals, wherever they come from.
//!
//! Owns the [`Listener`]: which signals it hears, and what of them was taken. The signals come from the
//! system (`system.rs`) or, in a simulated run, from its test (`simulated.rs`). The invariant: whoever has
//! heard the bell, and then takes until there is nothing, has all that came before it rang.

mod simulated;
mod system;

use std::io;

use crate::cancel::OrCancelled;
use crate::task::Cx;

/// Hears one or more signals, and has a bell that rings when one of them comes.
#[derive(Debug)]
pub(crate) struct Listener {
    heard: Vec<Heard>,
    /// Where the next look begins, so that a signal that keeps coming does not hide the others.
    next: usize,
    /// Dropped after `drop` has ended the listening.
    origin: Origin,
}

/// Where the signals come from, with the bell that rings there.
#[derive(Debug)]
enum Origin {
    System(system::Ears),
    Simulated(simulated::Ears),
}

#[derive(Debug)]
struct Heard {
    number: i32,
    /// How often it had come when this listener looked last.
    seen: u64,
}

impl Listener {
    /// Begins to listen to `numbers`; one that is there twice counts once. In a task of a simulated run the
    /// signals are those of the run.
    ///
    /// On failure everything is as before, and the error comes with the signal that is at fault, if one is.
    pub(crate) fn new(numbers: &[i32]) -> Result<Listener, (Option<i32>, io::Error)> {
        let origin = match simulated::Ears::of_this_run() {
            Some(ears) => Origin::Simulated(ears),
            None => Origin::System(system::Ears::new().map_err(|error| (None, error))?),
        };
        // From the start, so that what was begun before an error is ended again.
        let mut this = Listener { heard: Vec::new(), next: 0, origin };
        for &number in numbers {
            if this.heard.iter().any(|heard| heard.number == number) {
                continue;
            }
            let seen = this.origin.begin(number).map_err(|error| (Some(number), error))?;
            this.heard.push(Heard { number, seen });
        }
        Ok(this)
    }

    /// Waits until the bell rings, or has rung since the last wait.
    ///
    /// A checkpoint if it has not. On cancel the bell is as it was.
    pub(crate) fn wait(&self, cx: &mut Cx) -> Result<(), OrCancelled<io::Error>> {
        match &self.origin {
            Origin::System(ears) => ears.wait(cx),
            Origin::Simulated(ears) => ears.wait(cx),
        }
    }

    /// The next signal that has come and was not taken yet. However often it came, it is taken once.
    pub(crate) fn take(&mut self) -> Option<i32> {
        let count = self.heard.len();
        let at = (0..count)
            .map(|step| (self.next + step) % count)
            .find(|at| self.has_come(&self.heard[*at]))?;
        self.next = at + 1;
        let heard = &mut self.heard[at];
        heard.seen = self.origin.came(heard.number);
        self.origin.take(heard.number, heard.seen);
        Some(heard.number)
    }

    /// How many signals `take` would give now.
    pub(crate) fn pending(&self) -> usize {
        self.heard.iter().filter(|heard| self.has_come(heard)).count()
    }

    fn has_come(&self, heard: &Heard) -> bool {
        self.origin.came(heard.number) != heard.seen
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // All are ended first: raising one of them again may end the process.
        let numbers = self.heard.drain(..).map(|heard| heard.number);
        let left: Vec<i32> = numbers.filter(|number| self.origin.end(*number)).collect();
        for number in left {
            self.origin.raise(number);
        }
    }
}

impl Origin {
    /// Begins to listen to a signal. Returns how often it has come.
    fn begin(&self, number: i32) -> io::Result<u64> {
        match self {
            Origin::System(ears) => ears.begin(number),
            Origin::Simulated(ears) => ears.begin(number),
        }
    }

    /// Ends it. True if the signal came, no listener has taken it, and none is left that could.
    fn end(&self, number: i32) -> bool {
        match self {
            Origin::System(ears) => ears.end(number),
            Origin::Simulated(ears) => ears.end(number),
        }
    }

    /// How often a signal has come.
    fn came(&self, number: i32) -> u64 {
        match self {
            Origin::System(_) => system::came(number),
            Origin::Simulated(ears) => ears.came(number),
        }
    }

    /// Says that what came until the signal had come `seen` times was taken.
    fn take(&self, number: i32, seen: u64) {
        match self {
            Origin::System(_) => system::take(number, seen),
            Origin::Simulated(ears) => ears.take(number, seen),
        }
    }

    /// Sends a signal to the own process.
    fn raise(&self, number: i32) {
        match self {
            Origin::System(_) => system::raise(number),
            Origin::Simulated(ears) => ears.raise(number),
        }
    }
}
