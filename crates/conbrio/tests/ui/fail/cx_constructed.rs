//! Attack: a `Cx` out of nothing.
//! Fails: its field is private, and there is no constructor.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    let _ = Cx(());
}
