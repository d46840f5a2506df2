//! Attack: two workers change one `RefCell`.
//! Fails: a reference to it is not `Send`.
// spec: S51, S73, N14

use conbrio::prelude::*;
use std::cell::RefCell;

fn main() {
    conbrio::run(|cx| {
        let shared = RefCell::new(0);
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                *shared.borrow_mut() += 1;
                Ok(())
            });
            Ok(())
        });
    });
}
