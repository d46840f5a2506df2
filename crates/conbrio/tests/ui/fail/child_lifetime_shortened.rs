//! Attack: the handle of a child passes for one of a nursery that ends earlier.
//! Fails: `'scope` is invariant.
// spec: N12

use conbrio::Child;

fn shorten<'short, 'long: 'short>(child: Child<'long, u32>) -> Child<'short, u32> {
    child
}

fn main() {
    let _: fn(Child<'static, u32>) -> Child<'static, u32> = shorten;
}
