//! Attack: two tasks join one child and both take its value.
//! Fails: `join` needs the handle for itself.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let child = &n.spawn(|_| Ok(String::new()));
            child.join(cx)?;
            child.join(cx)?;
            Ok(())
        });
    });
}
