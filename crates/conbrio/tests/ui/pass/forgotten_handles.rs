//! Handles that are forgotten, or own each other in a circle, only leak: the nursery waits all the same.
// spec: N5

use conbrio::Child;
use conbrio::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Slot<'scope> = Mutex<Option<Child<'scope, Holder<'scope>>>>;

/// The value of a child, which holds the handle of its sibling.
struct Holder<'scope>(#[expect(dead_code)] Option<Child<'scope, ()>>);

fn main() {
    let ended = AtomicUsize::new(0);
    let text = String::from("borrowed");
    conbrio::run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            std::mem::forget(n.spawn(|cx| {
                cx.yield_now()?;
                ended.fetch_add(1, Ordering::Relaxed);
                Ok(text.as_str())
            }));
            let sibling = n.spawn(|cx| {
                cx.yield_now()?;
                ended.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            let holder = n.spawn(|_| Ok(Holder(Some(sibling))));
            let slot: Slot<'_> = Mutex::new(Some(holder));
            std::mem::forget(slot);
            let kept = n.spawn_local(cx, |_| Ok(vec![1; 100]));
            std::mem::forget(kept);
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(ended.into_inner(), 2);
    drop(text);
}
