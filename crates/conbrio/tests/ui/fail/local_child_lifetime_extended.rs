//! Attack: the handle of a local child passes for one of a nursery that ends later.
//! Fails: `'scope` is invariant.
// spec: N12

use conbrio::LocalChild;

fn extend<'short, 'long: 'short>(child: LocalChild<'short, u32>) -> LocalChild<'long, u32> {
    child
}

fn main() {
    let _: fn(LocalChild<'static, u32>) -> LocalChild<'static, u32> = extend;
}
