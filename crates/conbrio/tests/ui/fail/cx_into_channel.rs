//! Attack: a `cx` goes through a channel to whoever receives it.
//! Fails: it would outlive the closure that it was given to.
// spec: S48, N12

use conbrio::prelude::*;
use std::sync::mpsc;

fn main() {
    let (sender, receiver) = mpsc::channel::<&mut Cx>();
    conbrio::run(|cx| {
        let _ = sender.send(cx);
    });
    drop(receiver);
}
