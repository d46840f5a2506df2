//! Attack: the `cx` of the main task is returned out of its runtime.
//! Fails: it lives as long as the call of the closure.
// spec: S48, N12

fn main() {
    let _ = conbrio::run(|cx| cx).checkpoint();
}
