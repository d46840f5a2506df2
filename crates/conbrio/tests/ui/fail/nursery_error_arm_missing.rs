//! Attack: error handling that forgets that a nursery can be cancelled.
//! Fails: `NurseryError` has three arms, and no arm is hidden.
// spec: S46

use conbrio::prelude::*;

fn handle(error: NurseryError<String>) -> String {
    match error {
        NurseryError::Failed(errors) => errors.into_first(),
        NurseryError::Stopped(_) => String::new(),
    }
}

fn main() {
    let _: fn(NurseryError<String>) -> String = handle;
}
