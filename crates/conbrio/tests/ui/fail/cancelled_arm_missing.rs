//! Attack: error handling that forgets the cancellation.
//! Fails: `OrCancelled` has two arms, and no arm is hidden.
// spec: S46

use conbrio::prelude::*;
use std::io;

fn handle(error: OrCancelled<io::Error>) -> io::ErrorKind {
    match error {
        OrCancelled::Failed(error) => error.kind(),
    }
}

fn main() {
    let _: fn(OrCancelled<io::Error>) -> io::ErrorKind = handle;
}
