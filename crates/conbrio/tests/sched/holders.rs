//! The report of a deadlock says who holds what, and which tasks wait for each other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::lowlevel::ParkingLot;
use conbrio::prelude::*;
use conbrio::sync::{LockError, Mutex};
use conbrio::{Builder, Cancelled, testing};

use super::child_process::in_child;

/// A mutex that says who has it.
struct Lock(ParkingLot<bool>);

impl Lock {
    fn new() -> Lock {
        Lock(ParkingLot::with_state(false).named("a lock"))
    }

    fn lock(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        cx.checkpoint()?;
        let mut is_locked = self.0.lock();
        if *is_locked {
            is_locked.park(cx, &mut ()).map_err(|error| error.into_cancelled())?;
        } else {
            *is_locked = true;
            drop(is_locked);
        }
        self.0.set_holder(cx);
        Ok(())
    }

    fn unlock(&self) {
        let mut is_locked = self.0.lock();
        *is_locked = is_locked.unpark(1) == 1;
    }
}

/// Nobody breaks these locks.
trait IntoCancelled {
    fn into_cancelled(self) -> Cancelled;
}

impl IntoCancelled for OrCancelled<conbrio::lowlevel::Broken> {
    fn into_cancelled(self) -> Cancelled {
        match self {
            OrCancelled::Cancelled(cancelled) => cancelled,
            OrCancelled::Failed(broken) => panic!("{broken}"),
        }
    }
}

/// Two tasks take two locks, each in its own order, when both have the first.
fn opposite_order(cx: &mut Cx, names: [&'static str; 2]) {
    let locks = [Lock::new(), Lock::new()];
    let outcome = cx.nursery(|_, n| -> Result<(), Cancelled> {
        for (at, name) in names.into_iter().enumerate() {
            let locks = &locks;
            n.task(name).spawn(move |cx| {
                locks[at].lock(cx)?;
                while !*locks[1 - at].0.lock() {
                    cx.yield_now()?;
                }
                locks[1 - at].lock(cx)?;
                locks[1 - at].unlock();
                locks[at].unlock();
                Ok(())
            });
        }
        Ok(())
    });
    drop(outcome);
}

// spec: N20
#[test]
fn two_locks_taken_in_opposite_order_are_reported_as_a_circle() {
    for workers in [1, 2] {
        in_child("holders::two_locks_taken_in_opposite_order_are_reported_as_a_circle", || {
            let checked = Builder::new().workers(workers).deadlock_check(true);
            checked.run(|cx| opposite_order(cx, ["left", "right"])).unwrap();
        })
        .assert_aborted()
        .assert_says("    'left' waits for a lock, held by 'right', on worker ")
        .assert_says("    'right' waits for a lock, held by 'left', on worker ")
        .assert_says(
            "conbrio: these tasks wait for each other:\n  \
             'left' waits for a lock, held by 'right'\n  \
             'right' waits for a lock, held by 'left'\n\
             conbrio: 3 tasks; ",
        );
    }
}

/// What a simulated run of this says when nothing can run any more: its report, without the frames.
#[track_caller]
fn report(main: impl FnOnce(&mut Cx)) -> String {
    let run = testing::Builder::new().workers(1).preempt_one_in(0);
    let payload = catch_unwind(AssertUnwindSafe(|| run.run(main))).expect_err("a deadlock");
    let text = payload.downcast_ref::<String>().expect("a text");
    let (_, tasks) = text.split_once("all tasks were:\n").expect("a report");
    let is_frame = |line: &&str| line.trim_start().starts_with("in ");
    tasks.lines().filter(|line| !is_frame(line)).map(|line| format!("{line}\n")).collect()
}

// spec: N20
#[test]
fn tasks_of_one_name_are_told_apart_where_they_are_named() {
    assert_eq!(
        report(|cx| opposite_order(cx, ["worker", "worker"])),
        "  'main' waits for its children, on worker 0\n    \
         'worker' #2 waits for a lock, held by 'worker' #3, on worker 0\n    \
         'worker' #3 waits for a lock, held by 'worker' #2, on worker 0\n\
         conbrio: these tasks wait for each other:\n  \
         'worker' #2 waits for a lock, held by 'worker' #3\n  \
         'worker' #3 waits for a lock, held by 'worker' #2\n"
    );
}

#[test]
fn a_task_that_takes_its_own_lock_again_waits_for_itself() {
    let report = report(|cx| {
        let lock = Lock::new();
        lock.lock(cx).unwrap();
        let _: Result<(), Cancelled> = lock.lock(cx);
    });
    assert_eq!(
        report,
        "  'main' waits for a lock, held by 'main', on worker 0\n\
         conbrio: this task waits for itself:\n  \
         'main' waits for a lock, held by 'main'\n"
    );
}

#[test]
fn a_lock_that_is_held_around_a_nursery_whose_children_want_it_is_a_circle() {
    let report = report(|cx| {
        let lock = Lock::new();
        lock.lock(cx).unwrap();
        let _: Result<(), NurseryError<Cancelled>> = cx.nursery(|_, n| {
            n.task("idle").spawn(|cx| cx.sleep_forever());
            n.task("child").spawn(|cx| lock.lock(cx));
            Ok(())
        });
    });
    assert_eq!(
        report,
        "  'main' waits for its children, on worker 0\n    \
         'idle' waits for ever (sleep_forever), on worker 0\n    \
         'child' waits for a lock, held by 'main', on worker 0\n\
         conbrio: these tasks wait for each other:\n  \
         'main' waits for its children, among them 'child'\n  \
         'child' waits for a lock, held by 'main'\n"
    );
}

// A task waits for the children of the nursery that it is about to leave, and not for those further out.
#[test]
fn children_of_an_outer_nursery_make_no_circle() {
    let report = report(|cx| {
        let lock = Lock::new();
        lock.lock(cx).unwrap();
        let _: Result<(), NurseryError<Cancelled>> = cx.nursery(|cx, n| {
            n.task("outer").spawn(|cx| lock.lock(cx));
            let _: Result<(), NurseryError<Cancelled>> = cx.nursery(|_, n| {
                n.task("inner").spawn(|cx| cx.sleep_forever());
                Ok(())
            });
            Ok(())
        });
    });
    assert_eq!(
        report,
        "  'main' waits for its children, on worker 0\n    \
         'inner' waits for ever (sleep_forever), on worker 0\n    \
         'outer' waits for a lock, held by 'main', on worker 0\n"
    );
}

#[test]
fn to_join_a_child_that_wants_what_one_holds_is_a_circle() {
    let report = report(|cx| {
        let lock = Lock::new();
        lock.lock(cx).unwrap();
        let _: Result<(), NurseryError<Cancelled>> = cx.nursery(|cx, n| {
            n.task("child").spawn(|cx| lock.lock(cx)).join(cx)?;
            Ok(())
        });
    });
    assert_eq!(
        report,
        "  'main' waits for a child (join), on worker 0\n    \
         'child' waits for a lock, held by 'main', on worker 0\n\
         conbrio: these tasks wait for each other:\n  \
         'main' waits for a child (join), 'child'\n  \
         'child' waits for a lock, held by 'main'\n"
    );
}

// Whose end breaks a parking lot has what others wait for in it.
#[test]
fn the_breakers_of_a_parking_lot_hold_it() {
    let report = report(|cx| {
        let lot = ParkingLot::new().named("news");
        let _: Result<(), NurseryError<Cancelled>> = cx.nursery(|_, n| {
            for name in ["one", "other"] {
                let lot = &lot;
                n.task(name).spawn(move |cx| {
                    lot.add_breaker(&cx.breaker()).unwrap();
                    // A registration more is no holder more.
                    lot.add_breaker(&cx.breaker()).unwrap();
                    cx.sleep_forever()
                });
            }
            n.task("reader").spawn(|cx| {
                cx.yield_now()?;
                lot.park(cx).map_err(|error| error.into_cancelled())
            });
            Ok(())
        });
    });
    assert_eq!(
        report,
        "  'main' waits for its children, on worker 0\n    \
         'one' waits for ever (sleep_forever), on worker 0\n    \
         'other' waits for ever (sleep_forever), on worker 0\n    \
         'reader' waits for news, held by 'one' and 'other', on worker 0\n"
    );
}

#[test]
fn a_holder_that_has_ended_or_was_taken_back_is_not_named() {
    for is_taken_back in [false, true] {
        let report = report(|cx| {
            let lot = ParkingLot::new();
            let _: Result<(), NurseryError<Cancelled>> = cx.nursery(|cx, n| {
                n.spawn(|cx| {
                    lot.set_holder(cx);
                    Ok(())
                })
                .join(cx)?;
                if is_taken_back {
                    lot.set_holder(cx);
                    lot.clear_holder();
                }
                lot.park(cx).map_err(|error| error.into_cancelled())
            });
        });
        assert_eq!(report, "  'main' waits for a parking lot, on worker 0\n");
    }
}

#[test]
fn the_mutex_of_this_crate_says_who_has_it() {
    let report = report(|cx| {
        let locks = [Mutex::new(()), Mutex::new(())];
        let _: Result<(), NurseryError<OrCancelled<LockError>>> = cx.nursery(|cx, n| {
            let _held = locks[0].lock(cx)?;
            n.task("child").spawn(|cx| {
                let _own = locks[1].lock(cx)?;
                locks[0].lock(cx).map(drop)
            });
            cx.yield_now()?;
            locks[1].lock(cx).map(drop)
        });
    });
    assert_eq!(
        report,
        "  'main' waits for a mutex, held by 'child', on worker 0\n    \
         'child' waits for a mutex, held by 'main', on worker 0\n\
         conbrio: these tasks wait for each other:\n  \
         'main' waits for a mutex, held by 'child'\n  \
         'child' waits for a mutex, held by 'main'\n"
    );
}

// What a task has waited for before is not what it waits for now.
#[test]
fn a_wait_that_is_over_leaves_nothing_behind() {
    let report = report(|cx| {
        let lock = Lock::new();
        lock.lock(cx).unwrap();
        let _: Result<(), NurseryError<Cancelled>> = cx.nursery(|cx, n| {
            n.task("child").spawn(|cx| {
                lock.lock(cx)?;
                cx.sleep_forever()
            });
            cx.yield_now()?;
            lock.unlock();
            cx.sleep_forever()
        });
    });
    assert_eq!(
        report,
        "  'main' waits for ever (sleep_forever), on worker 0\n    \
         'child' waits for ever (sleep_forever), on worker 0\n"
    );
}
