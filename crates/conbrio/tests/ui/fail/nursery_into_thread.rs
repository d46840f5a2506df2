//! Attack: a thread that may run on for ever spawns into a nursery.
//! Fails: the nursery is not `'static`.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            std::thread::spawn(move || drop(n.spawn(|_| Ok(()))));
            Ok(())
        });
    });
}
