//! What campaigns have found in the runtime, told as plain programs.

use std::time::Duration;

use conbrio::testing::{self, MockClock};
use conbrio::{Builder, Cancelled, NurseryError};

const SECOND: Duration = Duration::from_secs(1);

/// Seed 733: of requests that came in before their scope was told, one took another's place.
// spec: N18
#[test]
fn requests_that_come_together_are_taken_in_their_order() {
    Builder::new()
        .workers(1)
        .clock(MockClock::new())
        .run(|cx| {
            let now = cx.now();
            let at = |seconds: u32| Some(now + SECOND * seconds);
            type Ask<'a> = &'a (dyn Fn(&conbrio::CancelHandle) + Sync);
            let cases: [(Ask<'_>, u32); 4] = [
                // A grace period only ever shortens what there is.
                (&|handle| (handle.shutdown(SECOND), handle.shutdown(SECOND * 9)).1, 1),
                (&|handle| (handle.set_deadline(at(1)), handle.shutdown(SECOND * 9)).1, 1),
                (&|handle| (handle.set_deadline(at(9)), handle.shutdown(SECOND)).1, 1),
                // A deadline that is moved goes where it is put.
                (&|handle| (handle.shutdown(SECOND), handle.set_deadline(at(9))).1, 9),
            ];
            for (ask, seconds) in cases {
                let left = cx.cancel_scope(|cx, scope| {
                    let handle = scope.handle();
                    // From outside, so that the scope is told of all at once.
                    std::thread::scope(|threads| {
                        threads.spawn(|| ask(&handle));
                    });
                    assert_eq!(cx.deadline(), at(seconds));
                    Ok::<_, Cancelled>(())
                });
                assert!(matches!(left, Ok(Some(()))));
            }
        })
        .unwrap();
}

/// Seed 248: no worker looked at a deadline that had passed when it was set, and the simulation stood
/// still for ever.
// spec: N18
#[test]
fn a_scope_without_time_does_not_hold_up_a_simulation() {
    let begun = testing::run(|cx| {
        let begun = cx.now();
        let left = cx.cleanup(Duration::ZERO, |cx| cx.shield(|cx| cx.sleep(SECOND)));
        assert!(matches!(left, Ok(Some(()))), "{left:?}");
        cx.now() - begun
    });
    assert_eq!(begun, SECOND);
}

/// Seed 67422: a grandchild that woke when a deadline passed did not know of it yet.
// spec: N18
#[test]
fn a_deadline_is_in_force_at_all_depths_when_it_passes() {
    testing::Builder::new().workers(1).run(|cx| {
        let left = cx.move_on_after(SECOND, |cx| {
            cx.nursery(|_, n| {
                n.spawn(|cx| {
                    cx.nursery(|_, n| {
                        n.spawn(|cx| {
                            // What has happened wins over a cancellation, and then it shows.
                            cx.sleep(SECOND).expect("it had as much time as it wanted");
                            let cancelled = cx.checkpoint();
                            assert!(cancelled.is_err());
                            cancelled
                        });
                        Ok(())
                    })
                    .map_err(outside)
                });
                Ok(())
            })
            .map_err(outside)
        });
        assert!(matches!(left, Ok(None)), "{left:?}");
    });
}

/// The cancellation from outside that a nursery reports.
fn outside(error: NurseryError<Cancelled>) -> Cancelled {
    match error {
        NurseryError::Cancelled(cancelled) => cancelled,
        other => panic!("the nursery was cancelled from outside: {other}"),
    }
}
