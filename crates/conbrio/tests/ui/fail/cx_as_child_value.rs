//! Attack: a child returns its `cx` as its value.
//! Fails: the type of the value cannot depend on the lifetime of the `cx`.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn_local(cx, |cx: &mut Cx| Ok(cx));
            let _ = child.join(cx)?.checkpoint();
            Ok(())
        });
    });
}
