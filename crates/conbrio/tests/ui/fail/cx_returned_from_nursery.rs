//! Attack: the body returns its `cx`.
//! Fails: it lives as long as the call of the body.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let kept = cx.nursery(|cx, _| -> Result<&mut Cx, Cancelled> { Ok(cx) });
        let _ = kept.unwrap().checkpoint();
    });
}
