//! Attack: a `cx` leaves its child in an error.
//! Fails: an error of a nursery is `'static` and `Send`.
// spec: S48, N12

use conbrio::prelude::*;

struct Carrier<'a>(&'a mut Cx);

impl MaybeCancelled for Carrier<'_> {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, _| -> Result<(), Carrier<'_>> { Err(Carrier(cx)) });
    });
}
