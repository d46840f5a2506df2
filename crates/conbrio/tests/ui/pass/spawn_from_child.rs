//! A child spawns its siblings, on this worker and on others.
// spec: S2, S52

use conbrio::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn grow<'scope>(
    n: &'scope Nursery<'scope, '_, Cancelled>,
    count: &'scope AtomicUsize,
    depth: usize,
) -> Result<(), Cancelled> {
    count.fetch_add(1, Ordering::Relaxed);
    if depth > 0 {
        n.spawn(move |_| grow(n, count, depth - 1));
        n.spawn(move |cx| {
            n.spawn_local(cx, move |_| grow(n, count, depth - 1));
            Ok(())
        });
    }
    Ok(())
}

fn main() {
    let count = AtomicUsize::new(0);
    conbrio::run(|cx| {
        cx.nursery(|_, n| {
            let count = &count;
            n.spawn(move |_| grow(n, count, 8));
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(count.into_inner(), (1 << 9) - 1);
}
