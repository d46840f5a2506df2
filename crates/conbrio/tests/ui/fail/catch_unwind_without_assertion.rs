//! Attack: a panic is caught in the middle of a wait, and the `cx` used on, without a second thought.
//! Fails: `&mut Cx` is not `UnwindSafe`; who means it writes `AssertUnwindSafe`.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        let _ = std::panic::catch_unwind(|| cx.checkpoint());
    });
}
