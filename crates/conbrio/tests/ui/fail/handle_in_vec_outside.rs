//! Attack: handles are collected in a vector that outlives the nursery.
//! Fails: the handles do not live longer than the nursery.
// spec: N12

use conbrio::Child;
use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let mut children: Vec<Child<'_, u32>> = Vec::new();
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            children.push(n.spawn(|_| Ok(1)));
            Ok(())
        });
    });
}
