//! `move_on_shutdown`: who is cancelled by a shutdown, and who is not.

use conbrio::prelude::*;

use crate::support::{Fault, on_all_workers, on_one_worker, seconds};

#[test]
fn a_shutdown_cancels_the_wait_and_nothing_else() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(|cx| {
                let waited = cx.move_on_shutdown(|cx| cx.sleep_forever())?;
                assert_eq!(waited, None);
                // The rest of the task is not cancelled, and sees that it is to end.
                assert!(cx.shutdown_requested());
                cx.sleep(seconds(1))?;
                Ok("said goodbye")
            });
            n.shutdown(seconds(5));
            assert_eq!(child.join(cx)?, "said goodbye");
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn without_a_shutdown_the_result_is_passed_on_as_it_is() {
    on_one_worker(|cx| {
        let value = cx.move_on_shutdown(|cx| cx.sleep(seconds(1)).map(|()| 7));
        assert_eq!(value.unwrap(), Some(7));
        let error = cx.move_on_shutdown(|cx| {
            cx.sleep(seconds(1))?;
            Err::<(), _>(Fault::Named("mine"))
        });
        assert_eq!(error.unwrap_err().name(), "mine");
        // Neither the value nor the error need be `Send`.
        let local = cx.move_on_shutdown(|_| Ok::<_, Cancelled>(std::rc::Rc::new(1)));
        assert_eq!(*local.unwrap().unwrap(), 1);
    });
}

#[test]
fn a_value_that_is_ready_counts_although_a_shutdown_came() {
    on_one_worker(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let value = cx.move_on_shutdown(|cx| {
                n.shutdown(seconds(5));
                assert!(cx.sleep(seconds(1)).is_err());
                Ok::<_, Cancelled>(1)
            })?;
            assert_eq!(value, Some(1));
            // And an error that is no cancellation stays one.
            let error = cx.move_on_shutdown(|cx| {
                assert!(cx.checkpoint().is_err(), "requested before the call");
                Err::<(), _>(Fault::Named("mine"))
            });
            assert_eq!(error.unwrap_err().name(), "mine");
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_cancellation_outside_is_passed_on() {
    on_one_worker(|cx| {
        let outcome = cx.move_on_after(seconds(1), |cx| {
            let inner = cx.move_on_shutdown(|cx| cx.sleep_forever());
            assert!(inner.is_err(), "it is not its own to take back");
            inner
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        // The same if it was cancelled before, which counts as a request as well.
        let outcome = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            let inner = cx.move_on_shutdown(|cx| cx.checkpoint());
            assert!(inner.is_err());
            inner
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        // A grace period that ends inside is not the request, which came before.
        let outcome = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.shutdown(seconds(1));
            cx.move_on_shutdown(|cx| cx.shield(|cx| cx.sleep(seconds(2))))?;
            cx.checkpoint()
        });
        assert!(matches!(outcome, Err(NurseryError::Stopped(_))), "{outcome:?}");
    });
}

#[test]
fn a_panic_goes_on_and_a_drop_while_panicking_may_call_it() {
    struct Waits<'a>(&'a mut Cx, &'a mut bool);
    impl Drop for Waits<'_> {
        fn drop(&mut self) {
            let waited = self.0.move_on_shutdown(|cx| cx.sleep_forever());
            *self.1 = waited.is_err();
        }
    }
    let mut has_failed = false;
    let text = crate::support::panic_text(|| {
        on_one_worker(|cx| {
            cx.move_on_shutdown(|cx| -> Result<(), Cancelled> {
                let _waits = Waits(cx, &mut has_failed);
                panic!("out of the wait");
            })
        })
    });
    assert!(text.contains("out of the wait") && has_failed, "{text} {has_failed}");
}
