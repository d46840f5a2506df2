//! Attack: a local child reads with the `cx` that its parent joined with a stream.
//! Fails: the adapter does not live as long as the nursery.
// spec: S48, N12

use conbrio::io::With;
use conbrio::prelude::*;
use std::io::Read;

fn main() {
    conbrio::run(|cx| {
        let mut text = &b"text"[..];
        let text = &mut text;
        let mut with = With::new(text, cx);
        let (_, cx) = with.parts();
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn_local(cx, |_| {
                let _ = with.read(&mut [0]);
                Ok(())
            });
            Ok(())
        });
    });
}
