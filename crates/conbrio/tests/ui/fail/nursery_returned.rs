//! Attack: a function leaves a nursery open and returns it.
//! Fails: the result cannot depend on the lifetime of the nursery.
// spec: S6, N12, test_run.nursery_misnest

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let n = cx.nursery(|_, n| Ok::<_, Cancelled>(n)).unwrap();
        n.spawn(|_| Ok(()));
    });
}
