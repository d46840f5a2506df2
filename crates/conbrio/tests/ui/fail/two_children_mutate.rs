//! Attack: two children change one variable.
//! Fails: only one of them can borrow it mutably.
// spec: S1, S51, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let mut total = 0;
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                total += 1;
                Ok(())
            });
            n.spawn(|_| {
                total += 1;
                Ok(())
            });
            Ok(())
        });
    });
}
