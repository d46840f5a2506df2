//! So many at a time.

use conbrio::prelude::*;
use conbrio::sync::Semaphore;

use crate::support::{Fault, Trace, message_of, on_all_workers, settled};

// spec: test_sync.Semaphore
#[test]
fn permits_are_counted_and_handed_to_whoever_waits_longest() {
    on_all_workers(|cx| {
        let (semaphore, trace) = (Semaphore::new(1), Trace::new());
        assert_eq!((semaphore.available(), semaphore.max()), (1, None));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let permit = semaphore.acquire(cx)?;
            assert_eq!(semaphore.available(), 0);
            assert!(semaphore.try_acquire().is_err());
            for number in 0..3 {
                let (semaphore, trace) = (&semaphore, &trace);
                n.spawn(move |cx| {
                    semaphore.acquire(cx)?.forget();
                    trace.push(number);
                    Ok(())
                });
                settled(cx)?;
            }
            assert_eq!(semaphore.statistics().tasks_waiting, 3);
            // It is the first one's at once: nobody else finds it.
            drop(permit);
            assert_eq!((semaphore.available(), semaphore.statistics().tasks_waiting), (0, 2));
            assert!(semaphore.try_acquire().is_err());
            settled(cx)?;
            assert_eq!(trace.take(), [0]);
            for number in 1..3 {
                semaphore.add(1)?;
                settled(cx)?;
                assert_eq!(trace.take(), [number]);
            }
            semaphore.add(1)?;
            assert_eq!(semaphore.available(), 1);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.Semaphore_bounded
#[test]
fn a_bounded_one_never_has_more_than_its_maximum() {
    conbrio::run(|cx| {
        let semaphore = Semaphore::bounded(1, 1);
        assert_eq!(semaphore.max(), Some(1));
        let error = semaphore.add(1).unwrap_err();
        assert_eq!(error.to_string(), "add 1 permits to a semaphore: it has 1, and 1 at most");
        assert_eq!(semaphore.available(), 1, "none was added");
        let permit = semaphore.acquire(cx).unwrap();
        assert!(semaphore.add(1).is_err(), "those that are held count");
        permit.forget();
        semaphore.add(1).unwrap();
        assert_eq!(semaphore.available(), 1);
        assert!(message_of(|| Semaphore::bounded(3, 2)).contains("its maximum of 2"));
        assert!(message_of(|| semaphore.acquire_many(cx, 2)).contains("would never come"));
        assert!(Semaphore::new(1).add(usize::MAX).is_err());
    });
}

#[test]
fn who_wants_many_is_not_passed_by_those_who_want_few() {
    on_all_workers(|cx| {
        let (semaphore, trace) = (Semaphore::new(2), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let held = semaphore.acquire_many(cx, 2)?;
            for (number, wanted) in [(0, 3), (1, 1), (2, 0)] {
                let (semaphore, trace) = (&semaphore, &trace);
                n.spawn(move |cx| {
                    let permits = semaphore.acquire_many(cx, wanted)?;
                    assert_eq!(permits.count(), wanted);
                    trace.push(number);
                    settled(cx)?;
                    Ok(())
                });
                settled(cx)?;
            }
            drop(held);
            settled(cx)?;
            assert!(trace.take().is_empty(), "two are there, and the first one wants three");
            assert_eq!(semaphore.statistics().tasks_waiting, 3);
            let error = semaphore.try_acquire().unwrap_err();
            assert_eq!(error.to_string(), "1 permits of a semaphore: others wait for them");
            semaphore.add(2)?;
            Ok(())
        })
        .unwrap();
        let mut passed = trace.take();
        passed.sort_unstable();
        assert_eq!(passed, [0, 1, 2]);
        assert_eq!(semaphore.available(), 4);
    });
}

#[test]
fn those_behind_a_cancelled_one_get_what_is_there() {
    on_all_workers(|cx| {
        let semaphore = Semaphore::new(1);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let large = n.spawn(|cx| Ok(semaphore.acquire_many(cx, 2).map(drop)?));
            settled(cx)?;
            let mut small = n.spawn(|cx| Ok(semaphore.acquire(cx).map(drop)?));
            settled(cx)?;
            assert_eq!(semaphore.statistics().tasks_waiting, 2);
            large.cancel();
            small.join(cx)?;
            assert_eq!(semaphore.available(), 1);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn permits_are_split_merged_forgotten_and_sent() {
    conbrio::run(|cx| {
        let semaphore = Semaphore::new(5);
        let mut permits = semaphore.try_acquire_many(5).unwrap();
        assert!(permits.split(6).is_none());
        let mut two = permits.split(2).unwrap();
        assert_eq!((permits.count(), two.count(), semaphore.available()), (3, 2, 0));
        two.split(1).unwrap().forget();
        permits.merge(two);
        assert_eq!((permits.count(), semaphore.statistics().lent), (4, 4));
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(move |_| {
                drop(permits);
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        assert_eq!((semaphore.available(), semaphore.statistics().lent), (4, 0));
        let other = Semaphore::new(1);
        let mut permit = semaphore.try_acquire().unwrap();
        assert!(
            message_of(|| permit.merge(other.try_acquire().unwrap())).contains("two semaphores")
        );
        assert_eq!(other.available(), 1);
        assert_eq!(format!("{other:?}"), "Semaphore { available: 1, max: None, .. }");
    });
}
