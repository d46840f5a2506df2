//! Attack: a child on another worker fails with an error that must stay there.
//! Fails: the errors of a nursery are `Send`.
// spec: S51, S73, N14

use conbrio::prelude::*;
use std::rc::Rc;

struct Failure(Rc<str>);

impl MaybeCancelled for Failure {
    fn cancelled(&self) -> Option<&Cancelled> {
        let _ = &self.0;
        None
    }
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, _| -> Result<(), Failure> { Ok(()) });
    });
}
