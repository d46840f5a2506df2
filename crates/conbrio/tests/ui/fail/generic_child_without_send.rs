//! Attack: a generic function hands any closure to another worker.
//! Fails: the bound `Send` is part of its signature or is missing.
// spec: S73, N14

use conbrio::prelude::*;

fn spawn_any<'scope, F>(n: &'scope Nursery<'scope, '_, Cancelled>, f: F)
where
    F: FnOnce(&mut Cx) -> Result<(), Cancelled> + 'scope,
{
    n.spawn(f);
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            spawn_any(n, |_| Ok(()));
            Ok(())
        });
    });
}
