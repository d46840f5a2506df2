//! What the examples of `std::thread::scope` do with threads, nurseries do with tasks.
// spec: S52

use conbrio::prelude::*;

/// The example of `std::thread::scope`.
fn scope(cx: &mut Cx) {
    let mut a = vec![1, 2, 3];
    let mut x = 0;
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        n.spawn(|_| {
            // The first child borrows `a`.
            assert_eq!(a.len(), 3);
            Ok(())
        });
        n.spawn(|_| {
            // It is even possible to borrow `x` mutably, as nobody else uses it.
            x += a[0] + a[2];
            Ok(())
        });
        Ok(())
    })
    .unwrap();
    // After the nursery the variables can be changed again.
    a.push(4);
    assert_eq!(x, a.len());
}

/// The example of `Scope::spawn` and `ScopedJoinHandle::join`: a handle yields the value.
fn join(cx: &mut Cx) {
    let value = cx.nursery(|cx, n| -> Result<String, Cancelled> {
        let mut child = n.spawn(|_| Ok("completed".to_owned()));
        child.join(cx)
    });
    assert_eq!(value.unwrap(), "completed");
}

/// The example of `Builder::spawn_scoped`: children with names.
fn named(cx: &mut Cx) {
    let a = [1, 2, 3];
    let mut x = 0;
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        n.task("first").spawn(|cx| {
            assert_eq!(cx.task_name(), "first");
            assert_eq!(a[0], 1);
            Ok(())
        });
        n.task("second").stack_size(128 * 1024).spawn(|cx| {
            assert_eq!(cx.task_name(), "second");
            x += a[0] + a[2];
            Ok(())
        });
        Ok(())
    })
    .unwrap();
    assert_eq!(x, 4);
}

/// The example of `ScopedJoinHandle::is_finished`.
fn finished(cx: &mut Cx) {
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        let mut child = n.spawn(|_| Ok(()));
        child.join(cx)?;
        assert!(child.is_finished());
        Ok(())
    })
    .unwrap();
}

fn main() {
    conbrio::run(|cx| {
        scope(cx);
        join(cx);
        named(cx);
        finished(cx);
    });
}
