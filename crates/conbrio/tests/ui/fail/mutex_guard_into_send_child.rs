//! Attack: a lock that belongs to a thread is released on another.
//! Fails: the guard is not `Send`.
// spec: S51, S73, N14

use conbrio::prelude::*;
use std::sync::Mutex;

fn main() {
    let lock = Mutex::new(0);
    conbrio::run(|cx| {
        let guard = lock.lock().unwrap();
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(move |_| {
                drop(guard);
                Ok(())
            });
            Ok(())
        });
    });
}
