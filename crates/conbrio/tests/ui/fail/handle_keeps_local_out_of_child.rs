//! Attack: the value of a child borrows what the child owned.
//! Fails: the local ends with the child.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                let local = String::from("gone");
                Ok(local.as_str())
            });
            Ok(())
        });
    });
}
