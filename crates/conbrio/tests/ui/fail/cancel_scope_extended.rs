//! Attack: a type of the user's own passes for a cancel scope.
//! Fails: a scope is a struct; there is nothing to implement or to extend.
// spec: test_run.CancelScope_subclass

use conbrio::CancelScope;

struct Mine;

impl CancelScope for Mine {}

fn main() {}
