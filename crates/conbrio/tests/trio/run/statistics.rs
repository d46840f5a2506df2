//! What a runtime says about itself.

use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{self, MockClock};
use conbrio::{Builder, Cancelled};

// spec: test_run.current_statistics
#[test]
fn a_runtime_counts_its_tasks_its_queues_and_its_deadlines() {
    let clock = MockClock::new();
    let run = Builder::new().workers(1).clock(clock.clone()).run(|cx| {
        let alone = cx.statistics();
        assert_eq!((alone.tasks, alone.runnable, alone.injected), (1, 0, 0));
        assert_eq!((alone.timers, alone.next_deadline), (0, None));
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for _ in 0..3 {
                n.spawn(|cx| cx.sleep_forever());
            }
            // They live from their first turn on.
            let before = cx.statistics();
            assert_eq!((before.tasks, before.runnable), (1, 3));
            testing::settle(cx, Duration::ZERO)?;
            let after = cx.statistics();
            assert_eq!((after.tasks, after.runnable), (4, 0));

            // What a thread has spawned that is no worker waits until a worker looks.
            std::thread::scope(|s| {
                s.spawn(|| drop(n.spawn(|_| Ok(()))));
            });
            assert_eq!((cx.statistics().injected, cx.statistics().runnable), (1, 0));
            testing::settle(cx, Duration::ZERO)?;
            assert_eq!((cx.statistics().injected, cx.statistics().tasks), (0, 4));

            // The earliest of the deadlines, as it is moved.
            let start = cx.now();
            cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
                scope.set_deadline(Some(start + Duration::from_secs(5)));
                let at = |cx: &Cx| cx.statistics().next_deadline.map(|at| at - start);
                assert_eq!(at(cx), Some(Duration::from_secs(5)));
                cx.cancel_scope(|cx, inner| -> Result<(), Cancelled> {
                    inner.set_deadline(Some(start + Duration::from_secs(2)));
                    assert_eq!(at(cx), Some(Duration::from_secs(2)));
                    Ok(())
                })?;
                assert_eq!(at(cx), Some(Duration::from_secs(5)));
                scope.set_deadline(None);
                assert_eq!(at(cx), None);
                Ok(())
            })?;
            n.cancel();
            Ok(())
        })
    });
    run.unwrap().unwrap();
}
