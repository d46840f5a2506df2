//! What belongs to a task is neither `Send` nor `Sync`; what others may hold is both.
//!
//! The negative half works by ambiguity: for a type with the trait, two implementations apply, and the
//! call below would not compile.
// spec: S48, S73, N12, N14

use conbrio::prelude::*;
use conbrio::{Child, LocalChild, Started};
use std::rc::Rc;

trait UnlessSend<Which> {
    fn is_not() {}
}

struct Sending;

impl<T: ?Sized> UnlessSend<()> for T {}

impl<T: ?Sized + Send> UnlessSend<Sending> for T {}

trait UnlessSync<Which> {
    fn is_not_shared() {}
}

impl<T: ?Sized> UnlessSync<()> for T {}

impl<T: ?Sized + Sync> UnlessSync<Sending> for T {}

trait UnlessSized<Which> {
    fn is_not_sized() {}
}

impl<T: ?Sized> UnlessSized<()> for T {}

impl<T> UnlessSized<Sending> for T {}

fn travels<T: Send + Sync>() {}

fn main() {
    <Cx as UnlessSend<_>>::is_not();
    <Cx as UnlessSync<_>>::is_not_shared();
    <Cx as UnlessSized<_>>::is_not_sized();
    <&Cx as UnlessSend<_>>::is_not();
    <&mut Cx as UnlessSend<_>>::is_not();
    <CancelScope<'static> as UnlessSend<_>>::is_not();
    <CancelScope<'static> as UnlessSync<_>>::is_not_shared();
    <Started<'static, u32, Cancelled> as UnlessSend<_>>::is_not();
    <Started<'static, u32, Cancelled> as UnlessSync<_>>::is_not_shared();
    <LocalChild<'static, u32> as UnlessSend<_>>::is_not();
    <LocalChild<'static, u32> as UnlessSync<_>>::is_not_shared();
    <Child<'static, Rc<u32>> as UnlessSend<_>>::is_not();
    <Child<'static, Rc<u32>> as UnlessSync<_>>::is_not_shared();
    travels::<Child<'static, u32>>();
    travels::<Nursery<'static, 'static, Cancelled>>();
    travels::<CancelHandle>();
    travels::<Cancelled>();
    travels::<OrCancelled<std::io::Error>>();
    travels::<NurseryError<std::io::Error>>();

    // And a task that uses them all, so that the types are those of a real program.
    let ready = conbrio::run(|cx| {
        cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            let end = cx.nursery(|cx, n| {
                let value = n.start(cx, |_, started| {
                    started.ready(1);
                    Ok::<_, Cancelled>(())
                });
                n.spawn_local(cx, |_| Ok(()));
                Ok(value.unwrap())
            });
            assert!(!handle.is_cancelled());
            Ok::<u32, Cancelled>(end.unwrap())
        })
    });
    assert_eq!(ready.unwrap(), Some(1));
}
