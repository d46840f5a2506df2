//! Children of a nursery whose errors are boxed borrow like any others.
//!
//! The error type has a region of its own (`dyn Error + 'static`); if nothing says that it outlives
//! `'env`, the compiler asks every borrow of a child to be `'static`.
// spec: S1, S27

use conbrio::prelude::*;
use std::error::Error;

type Dynamic = Box<dyn Error + Send + Sync>;

fn argument(cx: &mut Cx, text: &str) -> usize {
    let length = cx.nursery(|cx, n| -> Result<usize, Dynamic> {
        let mut child = n.spawn(|_| Ok(text.len()));
        Ok(child.join(cx)?)
    });
    length.unwrap()
}

fn local(cx: &mut Cx) -> usize {
    let local = String::from("four");
    let length = cx.nursery(|cx, n| {
        let mut child = n.spawn(|_| Ok(local.len()));
        Ok::<_, Dynamic>(child.join(cx)?)
    });
    length.unwrap()
}

fn main() {
    conbrio::run(|cx| {
        assert_eq!(argument(cx, "abc"), 3);
        assert_eq!(local(cx), 4);
    });
}
