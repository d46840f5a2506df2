//! Attack: a scoped thread waits with the `cx` of the task that began it.
//! Fails: `Cx` is not `Send`.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        std::thread::scope(|s| {
            s.spawn(|| cx.checkpoint());
        });
    });
}
