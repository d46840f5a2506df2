//! Makes a failing program smaller: drops statements for as long as it fails all the same.

use crate::program::{Dropped, Id, Program};

/// Drops what is not needed for the failure. Ends, because every round but the last drops something.
pub(crate) fn shrink(
    program: &Program,
    mut dropped: Dropped,
    mut fails: impl FnMut(&Dropped) -> bool,
) -> Dropped {
    // Outer statements first: with one of them goes everything inside it.
    let mut ids: Vec<Id> = Vec::new();
    program.visit(&mut |statement| ids.push(statement.id));
    loop {
        let mut is_smaller = false;
        for &id in &ids {
            if dropped.has(id) {
                continue;
            }
            dropped.set(id, true);
            if fails(&dropped) {
                is_smaller = true;
            } else {
                dropped.set(id, false);
            }
        }
        if !is_smaller {
            return dropped;
        }
    }
}
