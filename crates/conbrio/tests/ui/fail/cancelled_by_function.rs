//! Attack: a cancellation from a function or a trait that makes values.
//! Fails: there is none.
// spec: S39, test_cancelled.Cancelled_init

use conbrio::Cancelled;

fn main() {
    let _ = Cancelled::new();
    let _ = <Cancelled as Default>::default();
}
