//! Attack: a cancellation that nobody asked for.
//! Fails: the field of `Cancelled` is private.
// spec: S39, test_cancelled.Cancelled_init

use conbrio::Cancelled;

fn main() {
    let _ = Cancelled(());
}
