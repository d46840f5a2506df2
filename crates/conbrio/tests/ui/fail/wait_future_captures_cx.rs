//! Attack: a future waits with the `cx` of the task that polls it, and stops the task inside the poll.
//! Fails: the call has borrowed `cx`.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        let _ = cx.wait(async { cx.checkpoint() });
    });
}
