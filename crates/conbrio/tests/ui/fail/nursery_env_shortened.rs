//! Attack: a nursery passes for one whose surroundings end earlier.
//! Fails: `'env` is invariant.
// spec: N12

use conbrio::prelude::*;

fn shorten<'a, 'scope, 'short, 'long: 'short>(
    n: &'a Nursery<'scope, 'long, Cancelled>,
) -> &'a Nursery<'scope, 'short, Cancelled> {
    n
}

fn main() {
    let _: fn(&'static Nursery<'static, 'static, Cancelled>) -> _ = shorten;
}
