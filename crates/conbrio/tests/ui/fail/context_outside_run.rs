//! Attack: code outside of a runtime asks for the current task and its time.
//! Fails: both are asked of a `cx`, which only tasks have.
// spec: S33, test_run.out_of_context

use conbrio::prelude::*;

fn main() {
    let _ = Cx::task_name();
    let _ = Cx::now();
}
