//! Attack: a stream that has been joined with a `cx`, and the `cx` itself, are used in turn.
//! Fails: the adapter has borrowed it.
// spec: S48, N12

use conbrio::io::With;
use conbrio::prelude::*;
use std::io::Read;

fn attack(cx: &mut Cx) -> Result<(), Cancelled> {
    let mut text = &b"text"[..];
    let mut with = With::new(&mut text, cx);
    cx.checkpoint()?;
    let _ = with.read(&mut [0]);
    Ok(())
}

fn main() {
    let _ = conbrio::run(attack);
}
