//! Attack: a function enters a scope and returns it.
//! Fails: the result cannot depend on the lifetime of the scope.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let scope = cx.cancel_scope(|_, scope| Ok::<_, Cancelled>(scope));
        scope.unwrap().unwrap().cancel();
    });
}
