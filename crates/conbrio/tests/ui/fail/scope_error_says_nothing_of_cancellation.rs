//! Attack: a scope whose code fails with a type that cannot tell a cancellation.
//! Fails: a scope asks for `MaybeCancelled`.
// spec: S40, S46

use std::time::Duration;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.move_on_after(Duration::from_secs(1), |_| {
            Err::<(), _>(String::from("lost"))
        });
    });
}
