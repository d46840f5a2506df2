//! Attack: a scope that was never entered.
//! Fails: its fields are private, and there is no constructor.
// spec: N12, test_run.CancelScope_subclass

use conbrio::CancelScope;

fn main() {
    let _ = CancelScope::new();
}
