//! A child of an inner nursery joins a child of the outer one, which lives longer.
// spec: S1, S52

use conbrio::prelude::*;

fn main() {
    let outcome = conbrio::run(|cx| {
        cx.nursery(|cx, outer| -> Result<u32, Cancelled> {
            let mut first = outer.spawn(|_| Ok(20));
            let inner = cx.nursery(|cx, inner| -> Result<u32, Cancelled> {
                let mut second = inner.spawn(|cx| Ok(first.join(cx)? + 1));
                second.join(cx)
            });
            Ok(inner.unwrap() * 2)
        })
    });
    assert_eq!(outcome.unwrap(), 42);
}
