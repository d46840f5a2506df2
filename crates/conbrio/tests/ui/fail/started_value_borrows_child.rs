//! Attack: a child hands out a reference to its own local as the value of being ready.
//! Fails: the value may borrow only what outlives the nursery.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let _ = n.start(cx, |_, started| {
                let local = String::from("mine");
                started.ready(local.as_str());
                Ok(())
            });
            Ok(())
        });
    });
}
