//! Attack: a thread for blocking calls waits with the `cx` of a task.
//! Fails: `Cx` is not `Send`, and the call has borrowed it.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        let _ = cx.blocking(|| cx.checkpoint());
    });
}
