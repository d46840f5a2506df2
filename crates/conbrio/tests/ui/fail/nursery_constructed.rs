//! Attack: a nursery that no task waits for.
//! Fails: its fields are private, and there is no constructor.
// spec: N12, test_run.Nursery_init, test_run.Nursery_private_init

use conbrio::Nursery;
use std::marker::PhantomData;

fn main() {
    let _ = Nursery {
        core: &(),
        scope: PhantomData,
        env: PhantomData,
    };
    let _ = Nursery::new();
}
