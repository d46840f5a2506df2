//! Attack: error handling that forgets the timeout.
//! Fails: `OrTimedOut` has two arms, and no arm is hidden.
// spec: S39, S46

use conbrio::prelude::*;

fn handle(error: OrTimedOut<Cancelled>) -> Cancelled {
    match error {
        OrTimedOut::Failed(cancelled) => cancelled,
    }
}

fn main() {
    let _: fn(OrTimedOut<Cancelled>) -> Cancelled = handle;
}
