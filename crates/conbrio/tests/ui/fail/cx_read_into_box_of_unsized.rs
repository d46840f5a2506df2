//! Attack: a box or a reference-counted pointer is made from a borrowed `Cx`, as from a `str`.
//! Fails: there is no such conversion.
// spec: S48, N12

use conbrio::prelude::*;
use std::rc::Rc;

fn main() {
    conbrio::run(|cx: &mut Cx| {
        let cx: &Cx = cx;
        let _ = Rc::<Cx>::from(cx);
    });
}
