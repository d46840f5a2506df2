//! Attack: code on the stack of the worker's thread waits, and leaves the worker without a stack.
//! Fails: the call has borrowed `cx`.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        let _ = cx.on_thread_stack(|| cx.checkpoint());
    });
}
