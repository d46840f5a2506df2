//! Attack: a nursery passes for one that ends earlier, so that children may borrow less.
//! Fails: `'scope` is invariant.
// spec: N12

use conbrio::prelude::*;

fn shorten<'short, 'long: 'short, 'env>(
    n: &'short Nursery<'long, 'env, Cancelled>,
) -> &'short Nursery<'short, 'env, Cancelled> {
    n
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            let local = String::new();
            shorten(n).spawn(|_| {
                let _ = local.len();
                Ok(())
            });
            Ok(())
        });
    });
}
