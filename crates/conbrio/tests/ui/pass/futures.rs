//! A future is waited for by a plain call, borrows from the task's frames, and need not be `Send`.
// spec: S7, S29, S59

use conbrio::prelude::*;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

async fn after_polls(count: &Cell<u32>, polls: u32) -> u32 {
    poll_fn(|context| {
        count.set(count.get() + 1);
        if count.get() == polls {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    count.get()
}

fn main() {
    conbrio::run(|cx| -> Result<(), Cancelled> {
        let count = Cell::new(0);
        assert_eq!(cx.wait(after_polls(&count, 5))?, 5);

        let dropped = Rc::new(());
        let held = Rc::clone(&dropped);
        let end = cx.cancel_scope(|cx, scope| {
            cx.wait(async {
                let _held = held;
                scope.cancel();
                std::future::pending::<()>().await;
            })
        })?;
        assert!(end.is_none());
        assert_eq!(Rc::strong_count(&dropped), 1);
        Ok(())
    })
    .unwrap();
}
