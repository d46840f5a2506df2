//! Attack: the main task of a second runtime waits with the `cx` of the first.
//! Fails: `Cx` is not `Send`, which `run` asks of its closure.
// spec: S48, N12

fn main() {
    conbrio::run(|outer| {
        conbrio::run(|_| drop(outer.checkpoint()));
    });
}
