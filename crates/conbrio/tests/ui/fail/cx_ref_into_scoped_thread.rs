//! Attack: a scoped thread looks at the `cx` of a task while the task uses it.
//! Fails: `Cx` is not `Sync`.
// spec: S48, N12

fn main() {
    conbrio::run(|cx| {
        std::thread::scope(|s| {
            s.spawn(|| cx.shutdown_requested());
        });
    });
}
