//! Attack: the body leaves its `cx` in a cell outside the nursery, where a child finds it.
//! Fails: the `cx` does not live as long as the cell.
// spec: S48, N12

use conbrio::prelude::*;
use std::cell::Cell;

fn main() {
    conbrio::run(|cx| {
        let cell: Cell<Option<&mut Cx>> = Cell::new(None);
        let _ = cx.nursery(|cx, _| -> Result<(), Cancelled> {
            cell.set(Some(cx));
            Ok(())
        });
    });
}
