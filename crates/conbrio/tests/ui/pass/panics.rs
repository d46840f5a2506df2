//! A panic in the body or in a child goes on in the caller, after all have ended, with its payload.
// spec: S3, S6, N6

use conbrio::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook};
use std::sync::atomic::{AtomicBool, Ordering};

fn main() {
    set_hook(Box::new(|_| ()));
    conbrio::run(|cx| {
        let ended = AtomicBool::new(false);
        let payload = catch_unwind(AssertUnwindSafe(|| {
            let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    let cancelled = cx.sleep_forever();
                    cx.shield(|cx| cx.yield_now()).unwrap();
                    ended.store(true, Ordering::Relaxed);
                    cancelled
                });
                panic_any(7_u32);
            });
        }));
        assert_eq!(*payload.unwrap_err().downcast::<u32>().unwrap(), 7);
        assert!(ended.into_inner());

        let payload = catch_unwind(AssertUnwindSafe(|| {
            let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|_| -> Result<(), Cancelled> { panic_any("child") });
                cx.sleep_forever()
            });
        }));
        assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "child");
        // The task goes on.
        cx.yield_now().unwrap();
    });
}
