//! Attack: the `cx` of a shield is used outside of it, to stay shielded.
//! Fails: the result cannot depend on its lifetime.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        let kept = cx.shield(|cx| cx);
        let _ = kept.checkpoint();
    });
}
