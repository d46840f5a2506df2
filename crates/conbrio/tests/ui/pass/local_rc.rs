//! Local children share what must stay on one thread, also inside a child that ran elsewhere.
// spec: S51, N14

use conbrio::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

fn count_locally(cx: &mut Cx) -> Result<usize, Cancelled> {
    let count = Rc::new(Cell::new(0));
    let names = RefCell::new(Vec::new());
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        let mut first = n.spawn_local(cx, |_| Ok(Rc::new(1)));
        for name in ["a", "b", "c"] {
            let count = Rc::clone(&count);
            let names = &names;
            n.spawn_local(cx, move |cx| {
                cx.yield_now()?;
                count.set(count.get() + 1);
                names.borrow_mut().push(name);
                Ok(())
            });
        }
        count.set(count.get() + *first.join(cx)?);
        Ok(())
    })
    .unwrap();
    assert_eq!(names.into_inner().len(), 3);
    Ok(Rc::try_unwrap(count).unwrap().into_inner())
}

fn main() {
    let total = conbrio::run(|cx| {
        cx.nursery(|cx, n| -> Result<usize, Cancelled> {
            let mut children: Vec<_> = (0..4).map(|_| n.spawn(count_locally)).collect();
            children.iter_mut().map(|child| child.join(cx)).sum()
        })
    });
    assert_eq!(total.unwrap(), 16);
}
