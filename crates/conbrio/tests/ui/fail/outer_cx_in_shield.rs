//! Attack: shielded code waits with the `cx` from outside.
//! Fails: the shield has borrowed it.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        let _ = cx.shield(|_| cx.checkpoint());
    });
}
