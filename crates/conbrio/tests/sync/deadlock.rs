//! The report of a deadlock says who holds what.

use std::time::Duration;

use conbrio::prelude::*;
use conbrio::sync::{CapacityLimiter, Mutex, OnceCell, RwLock};

use crate::support::{Fault, message_of};

/// The report of a simulated run that can never end.
#[track_caller]
fn report_of(main: impl FnOnce(&mut Cx) -> Result<(), NurseryError<Fault>>) -> String {
    message_of(|| conbrio::testing::run(|cx| drop(main(cx))))
}

// spec: N20
#[test]
fn two_mutexes_taken_in_different_orders() {
    let (left, right) = (Mutex::new(()), Mutex::new(()));
    let report = report_of(|cx| {
        cx.nursery(|_, n| -> Result<(), Fault> {
            for (name, first, second) in [("a", &left, &right), ("b", &right, &left)] {
                n.task(name).spawn(move |cx| {
                    let _first = first.lock(cx)?;
                    cx.sleep(Duration::from_secs(1))?;
                    let _second = second.lock(cx)?;
                    Ok(())
                });
            }
            Ok(())
        })
    });
    assert!(report.contains("'a' waits for a mutex, held by 'b'"), "{report}");
    assert!(report.contains("'b' waits for a mutex, held by 'a'"), "{report}");
}

// spec: N20
#[test]
fn whoever_the_lock_was_handed_to_is_its_holder() {
    let mutex = Mutex::new(());
    let report = report_of(|cx| {
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let guard = mutex.lock(cx)?;
            for name in ["second", "third"] {
                n.task(name).spawn(|cx| {
                    let _guard = mutex.lock(cx)?;
                    Ok(cx.sleep_forever()?)
                });
                cx.sleep(Duration::from_secs(1))?;
            }
            drop(guard);
            Ok(())
        })
    });
    assert!(report.contains("'third' waits for a mutex, held by 'second'"), "{report}");
}

// spec: N20
#[test]
fn readers_writers_makers_and_borrowers() {
    let (lock, cell, limiter) = (RwLock::new(()), OnceCell::<()>::new(), CapacityLimiter::new(1));
    let report = report_of(|cx| {
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.task("holder").spawn(|cx| {
                let _guard = lock.read(cx)?;
                let _token = limiter.acquire(cx)?;
                cell.get_or_init(cx, |cx| Ok::<_, Fault>(cx.sleep_forever()?))?;
                Ok(())
            });
            cx.sleep(Duration::from_secs(1))?;
            n.task("writer").spawn(|cx| Ok(lock.write(cx).map(drop)?));
            n.task("needs").spawn(|cx| {
                cell.get_or_init(cx, |_| Ok::<_, Fault>(()))?;
                Ok(())
            });
            n.task("borrower").spawn(|cx| Ok(limiter.acquire(cx).map(drop)?));
            Ok(())
        })
    });
    for line in [
        "'writer' waits for a lock for reading and writing, held by 'holder'",
        "'needs' waits for a once cell, held by 'holder'",
        "'borrower' waits for a capacity limiter, held by 'holder'",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
}
