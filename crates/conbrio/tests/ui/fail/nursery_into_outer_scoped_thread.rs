//! Attack: a thread of a scope around the nursery spawns into it.
//! Fails: the nursery ends before the scope of the thread.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        std::thread::scope(|s| {
            let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
                s.spawn(move || drop(n.spawn(|_| Ok(()))));
                Ok(())
            });
        });
    });
}
