//! A value that is made once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use conbrio::sync::OnceCell;
use conbrio::testing::assert_checkpoints;

use crate::support::{Fault, message_of, on_all_workers, settled};

#[test]
fn one_makes_it_and_the_others_wait() {
    on_all_workers(|cx| {
        let (cell, made) = (OnceCell::new(), AtomicUsize::new(0));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            for _ in 0..5 {
                n.task("maker").spawn(|cx| {
                    let value = cell.get_or_init(cx, |cx| -> Result<_, Fault> {
                        made.fetch_add(1, SeqCst);
                        cx.sleep(Duration::from_secs(1))?;
                        Ok(7)
                    })?;
                    assert_eq!(*value, 7);
                    Ok(())
                });
            }
            settled(cx)?;
            let statistics = cell.statistics();
            assert_eq!((statistics.is_set, statistics.tasks_waiting), (false, 4));
            assert_eq!(statistics.maker.as_deref(), Some("maker"));
            assert_eq!(cell.set(8), Err(8), "somebody makes it");
            Ok(())
        })
        .unwrap();
        assert_eq!((made.into_inner(), cell.get()), (1, Some(&7)));
        assert_eq!(cell.set(8), Err(8));
        let again = assert_checkpoints(cx, |cx| cell.get_or_init(cx, |_| Err("unused".into())));
        let again: Result<&u32, Fault> = again;
        assert_eq!(*again.unwrap(), 7);
        assert_eq!((format!("{cell:?}"), cell.into_inner()), ("OnceCell(7)".to_owned(), Some(7)));
    });
}

#[test]
fn if_it_fails_the_next_one_tries() {
    on_all_workers(|cx| {
        let cell: OnceCell<u32> = OnceCell::default();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let fails = n.spawn(|cx| {
                let outcome = cell.get_or_init(cx, |cx| -> Result<_, Fault> {
                    cx.sleep(Duration::from_secs(1))?;
                    Err("no".into())
                });
                assert_eq!(outcome.unwrap_err().to_string(), "no");
                Ok(())
            });
            settled(cx)?;
            n.spawn(|cx| {
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    cell.get_or_init(cx, |_| -> Result<_, Fault> { panic!("on purpose") }).map(drop)
                }));
                assert!(outcome.is_err());
                Ok(())
            });
            settled(cx)?;
            // Cancelled while it makes the value.
            let cancelled = n.spawn(|cx| {
                cell.get_or_init(cx, |cx| -> Result<_, Fault> {
                    cx.sleep_forever()?;
                    Ok(1)
                })?;
                Ok(())
            });
            settled(cx)?;
            let mut last = n.spawn(|cx| Ok(*cell.get_or_init(cx, |_| Ok::<_, Fault>(2))?));
            settled(cx)?;
            assert_eq!(cell.statistics().tasks_waiting, 3);
            while !fails.is_finished() {
                cx.sleep(Duration::from_secs(1))?;
            }
            settled(cx)?;
            assert_eq!(cell.statistics().tasks_waiting, 1);
            cancelled.cancel();
            assert_eq!(last.join(cx)?, 2);
            Ok(())
        })
        .unwrap();
        assert_eq!(cell.get(), Some(&2));
    });
}

#[test]
fn a_cell_that_asks_itself_is_told() {
    conbrio::run(|cx| {
        let cell: OnceCell<u32> = OnceCell::new();
        let message = message_of(|| {
            cell.get_or_init(cx, |cx| -> Result<u32, Fault> {
                Ok(*cell.get_or_init(cx, |_| Ok::<_, Fault>(1))?)
            })
            .map(drop)
        });
        assert!(message.contains("the value that it makes itself"), "{message}");
        assert_eq!(*cell.get_or_init(cx, |_| Ok::<_, Fault>(2)).unwrap(), 2);
    });
}

#[test]
fn the_small_things() {
    let mut cell = OnceCell::from(1);
    assert_eq!(cell.get(), Some(&1));
    *cell.get_mut().unwrap() = 2;
    assert_eq!(cell.into_inner(), Some(2));
    let cell = OnceCell::new();
    assert_eq!(format!("{cell:?}"), "OnceCell(<no value>)");
    assert_eq!((cell.set(1), cell.set(2)), (Ok(()), Err(2)));
    assert_eq!(cell.get(), Some(&1));
}
