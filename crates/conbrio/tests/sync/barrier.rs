//! All come to one point.

use conbrio::sync::Barrier;
use conbrio::testing::assert_checkpoints;

use crate::support::{Fault, Trace, message_of, on_all_workers, settled};

#[test]
fn the_last_one_lets_all_go_on_again_and_again() {
    on_all_workers(|cx| {
        let (barrier, trace) = (Barrier::new(3), Trace::new());
        cx.nursery(|_, n| -> Result<(), Fault> {
            for _ in 0..3 {
                n.spawn(|cx| {
                    for round in 0..10 {
                        trace.push((round, 0));
                        let leads = barrier.wait(cx)?.is_leader();
                        trace.push((round, 1 + usize::from(leads)));
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        let events = trace.take();
        for round in 0..10 {
            let of_round = |kind| {
                let places = events.iter().enumerate().filter(|(_, e)| **e == (round, kind));
                places.map(|(place, _)| place).collect::<Vec<_>>()
            };
            let (came, left, led) = (of_round(0), of_round(1), of_round(2));
            assert_eq!((came.len(), left.len(), led.len()), (3, 2, 1));
            let first_left = *left.iter().chain(&led).min().unwrap();
            assert!(came.iter().all(|place| *place < first_left), "somebody left too early");
        }
        assert_eq!(barrier.statistics().tasks_waiting, 0);
    });
}

#[test]
fn who_is_cancelled_has_not_come() {
    on_all_workers(|cx| {
        let barrier = Barrier::new(2);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let cancelled = n.spawn(|cx| Ok(barrier.wait(cx)?.is_leader()));
            settled(cx)?;
            assert_eq!(barrier.statistics().tasks_waiting, 1);
            cancelled.cancel();
            settled(cx)?;
            let mut first = n.spawn(|cx| Ok(barrier.wait(cx)?.is_leader()));
            settled(cx)?;
            assert!(!first.is_finished(), "it waits for one more");
            assert!(barrier.wait(cx)?.is_leader());
            assert!(!first.join(cx)?);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn one_for_one_task_never_waits_and_is_a_checkpoint() {
    conbrio::run(|cx| {
        let barrier = Barrier::new(1);
        assert!(assert_checkpoints(cx, |cx| barrier.wait(cx)).unwrap().is_leader());
    });
    assert!(message_of(|| Barrier::new(0)).contains("for one task at least"));
}
