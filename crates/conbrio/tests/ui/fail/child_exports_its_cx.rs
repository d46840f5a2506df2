//! Attack: a local child gives its own `cx` to its parent.
//! Fails: the `cx` of a child lives as long as the call of its closure.
// spec: S48, N12

use conbrio::prelude::*;
use std::cell::Cell;

fn main() {
    conbrio::run(|cx| {
        let cell: Cell<Option<&mut Cx>> = Cell::new(None);
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn_local(cx, |child| {
                cell.set(Some(child));
                Ok(())
            });
            Ok(())
        });
    });
}
