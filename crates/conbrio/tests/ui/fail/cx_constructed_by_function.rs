//! Attack: a `Cx` from a function or a trait that makes values.
//! Fails: there is none.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    let _ = Cx::new();
    let _ = <Cx as Default>::default();
}
