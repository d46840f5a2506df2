//! Attack: a reference to the handle of a local child, whose value is an `Rc`, goes to another worker.
//! Fails: such a handle is not `Sync`, also behind its `Deref`.
// spec: S51, N12, N14

use conbrio::prelude::*;
use std::rc::Rc;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let child = n.spawn_local(cx, |_| Ok(Rc::new(1)));
            let child: &conbrio::Child<'_, Rc<i32>> = Box::leak(Box::new(child));
            n.spawn(move |_| {
                child.cancel();
                Ok(())
            });
            Ok(())
        });
    });
}
