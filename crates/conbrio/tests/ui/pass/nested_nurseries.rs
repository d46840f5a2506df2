//! Nurseries nest: 256 leaves, local and sent ones mixed, all borrow from the outermost frame.
// spec: S1, S6

use conbrio::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn tree(cx: &mut Cx, depth: u32, leaves: &AtomicUsize) -> Result<(), Cancelled> {
    if depth == 0 {
        leaves.fetch_add(1, Ordering::Relaxed);
        return cx.checkpoint();
    }
    let end = cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn(|cx| tree(cx, depth - 1, leaves));
        n.spawn_local(cx, |cx| tree(cx, depth - 1, leaves));
        Ok(())
    });
    match end {
        Ok(()) => Ok(()),
        Err(NurseryError::Cancelled(cancelled)) => Err(cancelled),
        Err(error) => panic!("{error}"),
    }
}

fn main() {
    let leaves = AtomicUsize::new(0);
    conbrio::run(|cx| tree(cx, 8, &leaves)).unwrap();
    assert_eq!(leaves.into_inner(), 256);
}
