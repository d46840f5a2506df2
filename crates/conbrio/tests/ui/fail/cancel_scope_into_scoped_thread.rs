//! Attack: a thread changes the scope of a task in place.
//! Fails: `CancelScope` is not `Sync`; its `handle()` is.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.cancel_scope(|_, scope| -> Result<(), Cancelled> {
            std::thread::scope(|s| {
                s.spawn(|| scope.cancel());
            });
            Ok(())
        });
    });
}
