//! Attack: two local children take turns with one `cx`, through a shared cell.
//! Fails: the children would keep the `cx` longer than the body has it.
// spec: S48, N12

use conbrio::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

fn attack(cx: &mut Cx) {
    let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
        cx.move_on_after(std::time::Duration::MAX, |inner| {
            let shared = Rc::new(RefCell::new(inner));
            let theirs = Rc::clone(&shared);
            n.spawn_local(&shared.borrow(), move |_| theirs.borrow_mut().checkpoint());
            Ok::<(), Cancelled>(())
        })?;
        Ok(())
    });
}

fn main() {
    conbrio::run(attack);
}
