//! Children borrow, are joined, and lose nothing: errors, panics, data (S1 to S6, S14 to S18).

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::settle;
use conbrio::{Builder, CancelSource, NurseryPanic};
use proptest::prelude::*;

use crate::support::{
    Fault, Mailbox, Trace, in_virtual_time, names, on_all_workers, on_one_worker, seconds,
};

fn sort(cx: &mut Cx, numbers: &mut [u32]) -> Result<(), Fault> {
    if numbers.len() <= 64 {
        numbers.sort_unstable();
        return Ok(());
    }
    let middle = numbers.len() / 2;
    let (left, right) = {
        numbers.select_nth_unstable(middle);
        numbers.split_at_mut(middle)
    };
    cx.nursery(|cx, n| -> Result<(), Fault> {
        n.spawn(|cx| sort(cx, left));
        sort(cx, right)
    })?;
    Ok(())
}

// spec: S1
#[test]
fn children_work_on_disjoint_parts_of_what_the_parent_owns() {
    for workers in [1, 2, 4] {
        let mut numbers: Vec<u32> =
            (0..20_000_u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let mut expected = numbers.clone();
        expected.sort_unstable();
        in_virtual_time(workers, |cx| sort(cx, &mut numbers)).unwrap();
        assert_eq!(numbers, expected);
    }
}

// spec: S1, S51
#[test]
fn children_run_on_several_workers_and_see_the_same_data() {
    // Two children that wait for each other without giving way can only end on two threads.
    let arrived = AtomicU32::new(0);
    let meet = || {
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
        std::thread::current().id()
    };
    let (first, second) = Builder::new()
        .workers(2)
        .run(|cx| {
            cx.nursery(|cx, n| -> Result<_, Cancelled> {
                let mut first = n.spawn(|_| Ok(meet()));
                let mut second = n.spawn(|_| Ok(meet()));
                Ok((first.join(cx)?, second.join(cx)?))
            })
        })
        .unwrap()
        .unwrap();
    assert_ne!(first, second);
}

// spec: S2
#[test]
fn a_nursery_takes_children_without_end_and_keeps_none_that_has_ended() {
    const CHILDREN: u32 = 50_000;
    on_all_workers(|cx| {
        let done = AtomicU32::new(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for begun in 1..=CHILDREN {
                let done = &done;
                n.spawn(move |cx| {
                    done.fetch_add(1, Ordering::Relaxed);
                    cx.checkpoint()
                });
                if begun % 1_000 == 0 {
                    // A listener waits for the next connection here.
                    settle(cx, Duration::ZERO)?;
                    assert_eq!(n.child_count(), 0);
                    assert_eq!(done.load(Ordering::Relaxed), begun);
                }
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(done.into_inner(), CHILDREN);
    });
}

// spec: S3, S28
#[test]
fn a_panic_cancels_the_siblings_and_goes_on_with_its_payload() {
    on_all_workers(|cx| {
        let start = cx.now();
        let trace = Trace::new();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    let cancelled = cx.sleep_forever().unwrap_err();
                    trace.push(cancelled.source());
                    Err::<(), _>(cancelled)
                });
                settle(cx, Duration::ZERO)?;
                n.spawn(|_| -> Result<(), Cancelled> { std::panic::panic_any(17_u8) });
                Ok(())
            })
        }));
        assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 17);
        assert_eq!(trace.take(), [CancelSource::ChildPanicked]);
        assert_eq!(cx.now(), start, "no virtual time has passed");
    });
}

// spec: S4, S14
#[test]
fn a_sibling_that_waits_for_a_task_that_panics_is_woken() {
    on_all_workers(|cx| {
        let event = Mailbox::<()>::new();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| event.receive(cx));
                n.spawn(|cx| -> Result<(), Cancelled> {
                    cx.sleep(seconds(1))?;
                    if event.aborts() == 0 {
                        panic!("before it could set the event");
                    }
                    event.send(());
                    Ok(())
                });
                cx.checkpoint()
            })
        }));
        let text = caught.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(*text, "before it could set the event");
    });
}

/// What one child of a random nursery does.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Value,
    Error,
    Panic,
    Cancelled,
    ErrorWhenCancelled,
    PanicWhenCancelled,
}

fn ending() -> impl Strategy<Value = Ending> {
    prop::sample::select(vec![
        Ending::Value,
        Ending::Value,
        Ending::Error,
        Ending::Panic,
        Ending::Cancelled,
        Ending::ErrorWhenCancelled,
        Ending::PanicWhenCancelled,
    ])
}

#[derive(Debug)]
enum Numbered {
    Cancelled(Cancelled),
    Raised(usize),
}

impl From<Cancelled> for Numbered {
    fn from(cancelled: Cancelled) -> Numbered {
        Numbered::Cancelled(cancelled)
    }
}

impl MaybeCancelled for Numbered {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Numbered::Cancelled(cancelled) => Some(cancelled),
            Numbered::Raised(_) => None,
        }
    }
}

type Raised = Mutex<BTreeSet<(bool, usize)>>;

fn end(
    cx: &mut Cx,
    index: usize,
    delay: u64,
    ending: Ending,
    raised: &Raised,
) -> Result<(), Numbered> {
    let raise = |panics: bool| -> Result<(), Numbered> {
        raised.lock().unwrap().insert((panics, index));
        if panics {
            std::panic::resume_unwind(Box::new(index));
        }
        Err(Numbered::Raised(index))
    };
    let waited = cx.sleep(Duration::from_millis(delay));
    match ending {
        Ending::Value => Ok(waited?),
        Ending::Error => raise(false),
        Ending::Panic => raise(true),
        Ending::Cancelled => Ok(cx.sleep_forever()?),
        Ending::ErrorWhenCancelled => {
            let _ = cx.sleep_forever();
            raise(false)
        }
        Ending::PanicWhenCancelled => {
            let _ = cx.sleep_forever();
            raise(true)
        }
    }
}

fn reported(
    result: std::thread::Result<Result<(), NurseryError<Numbered>>>,
) -> BTreeSet<(bool, usize)> {
    let number = |error: &Numbered| match error {
        Numbered::Raised(index) => (false, *index),
        Numbered::Cancelled(cancelled) => panic!("a cancellation among the errors: {cancelled:?}"),
    };
    match result {
        Ok(Ok(()) | Err(NurseryError::Stopped(_))) => BTreeSet::new(),
        Ok(Err(NurseryError::Failed(errors))) => errors.iter().map(number).collect(),
        Ok(Err(NurseryError::Cancelled(cancelled))) => panic!("nobody outside: {cancelled:?}"),
        Err(payload) => match payload.downcast::<NurseryPanic>() {
            Ok(all) => {
                let panics = all.panics().iter().map(|p| (true, *p.downcast_ref().unwrap()));
                let errors = all.errors::<Numbered>().into_iter().flatten().map(number);
                panics.chain(errors).collect()
            }
            Err(payload) => [(true, *payload.downcast::<usize>().unwrap())].into(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // spec: S5
    #[test]
    fn no_error_and_no_panic_is_lost(
        workers in 1..=3_usize,
        children in prop::collection::vec((0..4_u64, ending()), 0..8),
        body in (0..4_u64, ending()),
    ) {
        let raised = Raised::default();
        let result = in_virtual_time(workers, |cx| catch_unwind(AssertUnwindSafe(|| {
            // Ends what would sleep for ever.
            cx.nursery(|cx, n| -> Result<(), Numbered> {
                n.handle().set_deadline(Some(cx.now() + seconds(1)));
                for (index, &(delay, ending)) in children.iter().enumerate() {
                    let raised = &raised;
                    n.spawn(move |cx| end(cx, index, delay, ending, raised));
                }
                end(cx, children.len(), body.0, body.1, &raised)
            })
        })));
        prop_assert_eq!(reported(result), raised.into_inner().unwrap());
    }
}

struct Alive<'a>(&'a AtomicUsize);

impl<'a> Alive<'a> {
    fn new(count: &'a AtomicUsize) -> Alive<'a> {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What happens to the parent while it waits for a child that takes its time.
#[derive(Clone, Copy, Debug)]
enum Attack {
    Cancel,
    CancelTwice,
    Deadline,
    Shutdown,
    BodyFails,
    BodyPanics,
    SiblingPanics,
}

// spec: S6, N1, S53
#[test]
fn nothing_makes_a_nursery_end_before_its_children() {
    for workers in [1, 2, 4] {
        for attack in [
            Attack::Cancel,
            Attack::CancelTwice,
            Attack::Deadline,
            Attack::Shutdown,
            Attack::BodyFails,
            Attack::BodyPanics,
            Attack::SiblingPanics,
        ] {
            in_virtual_time(workers, |cx| nursery_under(cx, attack));
        }
    }
}

fn nursery_under(cx: &mut Cx, attack: Attack) {
    let start = cx.now();
    let alive = AtomicUsize::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        cx.cancel_scope(|cx, scope| -> Result<(), NurseryError<Fault>> {
            if matches!(attack, Attack::Deadline) {
                scope.set_timeout(seconds(1));
            }
            let handle = scope.handle();
            let borrowed = [1, 2, 3];
            let result = catch_unwind(AssertUnwindSafe(|| {
                cx.nursery(|_, n| -> Result<(), Fault> {
                    n.spawn(|cx| {
                        let _alive = Alive::new(&alive);
                        // Slow to stop: the cancellation reaches it, and it tidies up.
                        let _ = cx.sleep_forever();
                        cx.shield(|cx| cx.sleep(seconds(5)))?;
                        assert_eq!(borrowed, [1, 2, 3]);
                        Ok(())
                    });
                    n.spawn(move |cx| {
                        cx.sleep(seconds(1))?;
                        match attack {
                            Attack::Cancel => handle.cancel(),
                            Attack::CancelTwice => {
                                handle.cancel();
                                n.cancel();
                                handle.cancel();
                            }
                            Attack::Shutdown => handle.shutdown(Duration::ZERO),
                            Attack::SiblingPanics => std::panic::resume_unwind(Box::new(attack)),
                            Attack::Deadline | Attack::BodyFails | Attack::BodyPanics => {}
                        }
                        Ok(())
                    });
                    match attack {
                        Attack::BodyFails => Err(Fault::Named("body")),
                        Attack::BodyPanics => std::panic::resume_unwind(Box::new(attack)),
                        _ => Ok(()),
                    }
                })
            }));
            assert_eq!(alive.load(Ordering::SeqCst), 0, "{attack:?}");
            result.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        })
    }));
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    let began_to_stop = match attack {
        Attack::BodyFails | Attack::BodyPanics => 0,
        _ => 1,
    };
    assert_eq!(cx.now() - start, seconds(began_to_stop + 5), "{attack:?}");
    match (attack, caught) {
        (Attack::BodyPanics | Attack::SiblingPanics, caught) => {
            assert!(caught.unwrap_err().is::<Attack>(), "{attack:?}");
        }
        (Attack::BodyFails, Ok(result)) => assert_eq!(names(result), ["body"]),
        (_, Ok(result)) => assert!(result.is_ok(), "{attack:?}: {result:?}"),
        (_, Err(_)) => panic!("{attack:?} has panicked"),
    }
}

// spec: S15
#[test]
fn the_loser_of_a_race_against_time_has_ended_when_move_on_returns() {
    on_all_workers(|cx| {
        let start = cx.now();
        let alive = AtomicUsize::new(0);
        let trace = Trace::new();
        let loser = cx.move_on_after(seconds(5), |cx| -> Result<(), Fault> {
            cx.nursery(|cx, n| -> Result<(), Fault> {
                let (alive, trace) = (&alive, &trace);
                n.spawn(move |cx| {
                    let _alive = Alive::new(alive);
                    let result = cx.sleep_forever();
                    // Its cleanup waits, and is waited for.
                    cx.cleanup(seconds(10), |cx| cx.sleep(seconds(2)))?;
                    trace.push("cleaned up");
                    Ok(result?)
                });
                cx.sleep_forever()?;
                Ok(())
            })?;
            Ok(())
        });
        trace.push("move_on has returned");
        assert!(matches!(loser, Ok(None)), "{loser:?}");
        assert_eq!(alive.into_inner(), 0);
        assert_eq!(trace.take(), ["cleaned up", "move_on has returned"]);
        assert_eq!(cx.now() - start, seconds(7));
    });
}

// spec: S16
#[test]
fn run_returns_when_no_task_is_left() {
    for workers in [1, 2, 4] {
        let alive = AtomicUsize::new(0);
        let result = in_virtual_time(workers, |cx| {
            cx.nursery(|_, n| -> Result<(), Fault> {
                let alive = &alive;
                for delay in 0..50 {
                    n.spawn(move |cx| {
                        let _alive = Alive::new(alive);
                        n.spawn(move |cx| {
                            let _alive = Alive::new(alive);
                            cx.sleep(seconds(2 * delay))?;
                            Ok(())
                        });
                        cx.sleep(seconds(delay))?;
                        Ok(())
                    });
                }
                Ok(())
            })
        });
        result.unwrap();
        assert_eq!(alive.into_inner(), 0);
    }
}

// spec: S18
#[test]
fn select_and_join_are_a_few_lines_of_nursery() {
    // The two combinators that others build in: here they are what a nursery does.
    fn first<T: Send>(
        cx: &mut Cx,
        left: impl FnOnce(&mut Cx) -> Result<T, Cancelled> + Send,
        right: impl FnOnce(&mut Cx) -> Result<T, Cancelled> + Send,
    ) -> Option<T> {
        let winner = Mutex::new(None);
        let result = cx.nursery(|_, n| -> Result<(), Cancelled> {
            let winner = &winner;
            let win = move |value| {
                winner.lock().unwrap().get_or_insert(value);
                n.cancel();
            };
            n.spawn(move |cx| left(cx).map(win));
            n.spawn(move |cx| right(cx).map(win));
            Ok(())
        });
        result.unwrap();
        winner.into_inner().unwrap()
    }
    on_one_worker(|cx| {
        let start = cx.now();
        let winner = first(
            cx,
            |cx| cx.sleep(seconds(9)).map(|()| "slow"),
            |cx| cx.sleep(seconds(2)).map(|()| "fast"),
        );
        assert_eq!(winner, Some("fast"));
        assert_eq!(cx.now() - start, seconds(2));
    });
}
