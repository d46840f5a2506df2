//! Attack: error handling that forgets that the start of a child can be cancelled.
//! Fails: `StartError` has three arms, and no arm is hidden.
// spec: S46

use conbrio::StartError;

fn handle(error: StartError<String>) -> String {
    match error {
        StartError::Failed(error) => error,
        StartError::NeverReady => String::new(),
    }
}

fn main() {
    let _: fn(StartError<String>) -> String = handle;
}
