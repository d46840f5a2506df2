//! The deadlock check: it reports what can never go on, and nothing else.

use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::prelude::*;
use conbrio::testing::{MockClock, settle};
use conbrio::{Builder, Cancelled};

use super::child_process::in_child;

/// An event that somebody may bring about.
#[derive(Default)]
struct Event(Mutex<Option<Unparker>>);

impl Event {
    fn bring_about(&self) -> bool {
        let unparker = self.0.lock().unwrap().take();
        unparker.map(Unparker::unpark).is_some()
    }
}

impl Wait for &Event {
    fn arm(&mut self, unparker: Unparker) {
        *self.0.lock().unwrap() = Some(unparker);
    }

    fn abort(&mut self) -> Abort {
        self.0.lock().unwrap().take();
        Abort::Succeeded
    }
}

fn checked(workers: usize) -> Builder {
    // SAFETY: a plain C call. A child that hangs is ended by the signal, and its test fails.
    unsafe { libc::alarm(PATIENCE_S) };
    Builder::new().workers(workers).deadlock_check(true)
}

/// Far more than any of these takes.
const PATIENCE_S: u32 = 120;
/// How long something outside takes: the workers lie down meanwhile. If they do not, because the machine
/// is busy, a test finds less, and does not fail.
const WHILE: Duration = Duration::from_millis(30);

fn wait_for_each_other(workers: usize) {
    let (left, right) = (Event::default(), Event::default());
    let outcome = checked(workers).run(|cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.task("left").spawn(|cx| {
                cx.park_on(&mut &right)?;
                left.bring_about();
                Ok(())
            });
            n.task("right").spawn(|cx| {
                cx.park_on(&mut &left)?;
                right.bring_about();
                Ok(())
            });
            Ok(())
        })
    });
    unreachable!("two tasks that wait for each other have ended: {outcome:?}");
}

/// Where a task waits, some calls down.
fn wait_deep_down(cx: &mut Cx) -> Result<u32, Cancelled> {
    cx.park_on(&mut &Event::default())?;
    Ok(7)
}

fn wait_in_a_generator(cx: &mut Cx) -> Result<(), Cancelled> {
    let items = cx.generate(
        |cx, out| {
            let value = wait_deep_down(cx)?;
            out.send(cx, value)
        },
        |cx, items| -> Result<(), Cancelled> {
            assert!(items.next(cx)?.is_none());
            Ok(())
        },
    );
    unreachable!("an item has come: {items:?}");
}

// spec: test_tracing.task_iter_await_frames, test_tracing.task_iter_await_frames_async_gen
// spec: test_tracing.closed_task_iter_await_frames
#[test]
fn the_report_has_the_frames_of_those_who_wait_and_nothing_of_those_who_have_ended() {
    in_child(
        "deadlock::the_report_has_the_frames_of_those_who_wait_and_nothing_of_those_who_have_ended",
        || {
            let outcome = checked(1).run(|cx| {
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    n.task("has ended").spawn(|cx| cx.yield_now()).join(cx)?;
                    wait_in_a_generator(cx)
                })
            });
            unreachable!("it has ended: {outcome:?}");
        },
    )
    .assert_says("in sched::deadlock::wait_deep_down")
    .assert_says("in sched::deadlock::wait_in_a_generator")
    .assert_aborted()
    .assert_does_not_say("has ended");
}

// spec: N20
#[test]
fn two_tasks_that_wait_for_each_other_are_reported_on_one_worker() {
    in_child("deadlock::two_tasks_that_wait_for_each_other_are_reported_on_one_worker", || {
        wait_for_each_other(1)
    })
    // How a closure is named is the compiler's: `{{closure}}` or `{closure#0}`.
    .assert_says("in sched::deadlock::wait_for_each_other::{")
    .without_frames()
    .assert_aborted()
    .assert_says(
        "conbrio: deadlock: nothing can run any more; every task waits:\n  \
         'main' waits for its children, on worker 0\n    \
         'left' waits for sched::deadlock::Event, on worker 0\n    \
         'right' waits for sched::deadlock::Event, on worker 0\n\
         conbrio: 3 tasks; ",
    );
}

// spec: N20
#[test]
fn two_tasks_that_wait_for_each_other_are_reported_on_two_workers() {
    in_child("deadlock::two_tasks_that_wait_for_each_other_are_reported_on_two_workers", || {
        wait_for_each_other(2)
    })
    .assert_aborted()
    .assert_says("  'main' waits for its children, on worker 0\n")
    .assert_says("    'left' waits for sched::deadlock::Event, on worker ")
    .assert_says("    'right' waits for sched::deadlock::Event, on worker ")
    .assert_says("conbrio: 3 tasks; ");
}

fn three_levels(workers: usize) {
    let outcome = checked(workers).run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.task("shutdown").spawn(|cx| cx.wait_shutdown());
            n.task("parent").spawn(|cx| -> Result<(), Cancelled> {
                let inner = cx.nursery(|cx, m| -> Result<(), Cancelled> {
                    m.task("shielded").spawn(|cx| cx.shield(|cx| cx.sleep_forever()));
                    m.task("cancelled nursery").spawn(|cx| -> Result<(), Cancelled> {
                        let inner = cx.nursery(|_, k| -> Result<(), Cancelled> {
                            k.task("deaf")
                                .spawn(|cx| cx.shield(|cx| cx.park_on(&mut &Event::default())));
                            k.cancel();
                            Ok(())
                        });
                        unreachable!("a nursery has ended before its child: {inner:?}");
                    });
                    let mut sleeper = m.task("sleeper").spawn(|cx| cx.sleep_forever());
                    sleeper.join(cx)
                });
                unreachable!("a nursery has ended before its children: {inner:?}");
            });
            cx.wait(std::future::pending::<()>())
        })
    });
    unreachable!("tasks that wait for ever have ended: {outcome:?}");
}

// spec: N20
#[test]
fn every_level_is_listed_with_its_wait_and_whether_it_is_cancelled() {
    in_child("deadlock::every_level_is_listed_with_its_wait_and_whether_it_is_cancelled", || {
        three_levels(1)
    })
    .without_frames()
    .assert_aborted()
    .assert_says(
        "every task waits:\n  \
         'main' waits for a future, on worker 0\n    \
         'shutdown' waits for a shutdown request, on worker 0\n    \
         'parent' waits for a child (join), on worker 0\n      \
         'shielded' waits for ever (sleep_forever), on worker 0\n      \
         'cancelled nursery' waits for its children, on worker 0, cancelled\n        \
         'deaf' waits for sched::deadlock::Event, on worker 0\n      \
         'sleeper' waits for ever (sleep_forever), on worker 0\n\
         conbrio: 7 tasks; ",
    );
}

// spec: N20
#[test]
fn every_level_is_listed_whatever_worker_it_is_on() {
    let outcome =
        in_child("deadlock::every_level_is_listed_whatever_worker_it_is_on", || three_levels(3));
    outcome.assert_aborted().assert_says("conbrio: 7 tasks; ");
    for line in [
        "    'shutdown' waits for a shutdown request, on worker ",
        "      'cancelled nursery' waits for its children, on worker ",
        "        'deaf' waits for sched::deadlock::Event, on worker ",
    ] {
        outcome.assert_says(line);
    }
}

fn descend(cx: &mut Cx, levels: usize) -> Result<(), Cancelled> {
    if levels == 0 {
        return cx.sleep_forever();
    }
    let outcome = cx.nursery(|_, n| -> Result<(), Cancelled> {
        n.task("level").spawn(move |cx| descend(cx, levels - 1));
        Ok(())
    });
    unreachable!("a nursery has ended before its child: {outcome:?}");
}

// spec: N20
#[test]
fn five_thousand_levels_are_listed() {
    for workers in [1, 2] {
        in_child("deadlock::five_thousand_levels_are_listed", || {
            let outcome = checked(workers).run(|cx| descend(cx, 5_000));
            unreachable!("tasks that wait for ever have ended: {outcome:?}");
        })
        .assert_aborted()
        .assert_says("(depth 5001) 'level' waits for ever (sleep_forever), on worker ")
        .assert_says("conbrio: 5001 tasks; ");
    }
}

/// The report does not wait for a lock that one of the tasks holds.
#[test]
fn a_task_that_holds_standard_error_does_not_keep_the_report_back() {
    in_child("deadlock::a_task_that_holds_standard_error_does_not_keep_the_report_back", || {
        let outcome = checked(2).run(|cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for _ in 0..4 {
                    n.spawn(|cx| cx.sleep_forever());
                }
                n.task("holder").spawn(|cx| {
                    let _held = std::io::stderr().lock();
                    cx.sleep_forever()
                });
                Ok(())
            })
        });
        unreachable!("tasks that wait for ever have ended: {outcome:?}");
    })
    .assert_aborted()
    .assert_says("    'holder' waits for ever (sleep_forever), on worker ");
}

/// A virtual clock has no deadline to jump to.
// spec: N20
#[test]
fn a_deadlock_is_reported_with_a_virtual_clock() {
    in_child("deadlock::a_deadlock_is_reported_with_a_virtual_clock", || {
        let outcome =
            checked(2).clock(MockClock::new().autojump(Duration::from_millis(1))).run(|cx| {
                cx.sleep(Duration::from_secs(3600))?;
                cx.sleep_forever()
            });
        unreachable!("a task that waits for ever has ended: {outcome:?}");
    })
    .assert_aborted()
    .assert_says("  'main' waits for ever (sleep_forever), on worker 0\n");
}

/// What was pending has come to nothing: the workers look again.
#[test]
fn a_deadlock_is_found_after_everything_that_was_pending_has_ended() {
    in_child("deadlock::a_deadlock_is_found_after_everything_that_was_pending_has_ended", || {
        let outcome = checked(2).run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                // tidy: allow(sleep) idle real time is what the check has to sit out
                n.spawn(|cx| cx.blocking(|| std::thread::sleep(WHILE)));
                n.spawn(|cx| cx.sleep(WHILE));
                n.spawn(|cx| settle(cx, WHILE / 2));
                cx.sleep_forever()
            })
        });
        unreachable!("a task that waits for ever has ended: {outcome:?}");
    })
    .without_frames()
    .assert_aborted()
    .assert_says("  'main' waits for ever (sleep_forever), on worker 0\nconbrio: 1 tasks; ");
}

/// Each in a process of its own: a report would end that of the tests.
fn survives(test: &str, body: impl Fn(usize)) {
    in_child(test, || {
        for workers in [1, 2, 3] {
            body(workers);
        }
    })
    .assert_survived();
}

// spec: N20
#[test]
fn a_pending_sleep_is_no_deadlock() {
    survives("deadlock::a_pending_sleep_is_no_deadlock", |workers| {
        let outcome = checked(workers).run(|cx| cx.sleep(WHILE));
        outcome.unwrap().unwrap();
    });
}

// spec: N20
#[test]
fn a_deadline_around_a_wait_for_ever_is_no_deadlock() {
    survives("deadlock::a_deadline_around_a_wait_for_ever_is_no_deadlock", |workers| {
        let outcome = checked(workers).run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| cx.sleep_forever());
                let slept = cx.move_on_after(WHILE, |cx| cx.sleep_forever())?;
                assert!(slept.is_none());
                n.cancel();
                Ok(())
            })
        });
        assert!(outcome.unwrap().is_ok());
    });
}

// spec: N20
#[test]
fn a_virtual_clock_that_jumps_comes_first() {
    survives("deadlock::a_virtual_clock_that_jumps_comes_first", |workers| {
        let clock = MockClock::new().autojump(Duration::ZERO);
        let outcome = checked(workers).clock(clock).run(|cx| {
            for _ in 0..100 {
                cx.sleep(Duration::from_secs(3600))?;
            }
            Ok::<(), Cancelled>(())
        });
        outcome.unwrap().unwrap();
    });
}

// spec: N20
#[test]
fn a_deadline_of_a_clock_that_stands_still_is_no_deadlock() {
    survives("deadlock::a_deadline_of_a_clock_that_stands_still_is_no_deadlock", |workers| {
        let clock = MockClock::new();
        let mover = clock.clone();
        let thread = std::thread::spawn(move || {
            // tidy: allow(sleep) idle real time is what the check has to sit out
            std::thread::sleep(WHILE);
            mover.jump(Duration::from_secs(3600));
        });
        let outcome = checked(workers).clock(clock).run(|cx| cx.sleep(Duration::from_secs(3600)));
        outcome.unwrap().unwrap();
        thread.join().unwrap();
    });
}

// spec: N20
#[test]
fn io_in_flight_is_no_deadlock() {
    survives("deadlock::io_in_flight_is_no_deadlock", |workers| {
        let (send_address, address) = mpsc::channel::<SocketAddr>();
        let peer = std::thread::spawn(move || {
            let address = address.recv().unwrap();
            // tidy: allow(sleep) idle real time is what the check has to sit out
            std::thread::sleep(WHILE);
            drop(std::net::TcpStream::connect(address).unwrap());
        });
        let outcome = checked(workers).run(|cx| -> std::io::Result<()> {
            let mut listener = TcpListener::bind(cx, "127.0.0.1:0")?;
            send_address.send(listener.local_addr()?).unwrap();
            cx.nursery(|_, n| {
                n.spawn(move |cx| {
                    listener.accept(cx)?;
                    Ok(())
                });
                Ok(())
            })?;
            Ok(())
        });
        outcome.unwrap().unwrap();
        peer.join().unwrap();
    });
}

// spec: N20
#[test]
fn a_running_blocking_call_is_no_deadlock() {
    survives("deadlock::a_running_blocking_call_is_no_deadlock", |workers| {
        let event = Event::default();
        let outcome = checked(workers).run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| cx.park_on(&mut &event));
                // tidy: allow(sleep) idle real time is what the check has to sit out
                cx.blocking(|| std::thread::sleep(WHILE))?;
                event.bring_about();
                Ok(())
            })
        });
        assert!(outcome.unwrap().is_ok());
    });
}

#[test]
fn a_task_that_settles_is_no_deadlock() {
    survives("deadlock::a_task_that_settles_is_no_deadlock", |workers| {
        let outcome = checked(workers).run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for _ in 0..4 {
                    n.spawn(|cx| cx.sleep_forever());
                }
                for _ in 0..100 {
                    settle(cx, Duration::ZERO)?;
                }
                n.cancel();
                Ok(())
            })
        });
        assert!(outcome.unwrap().is_ok());
    });
}

/// A foreign thread wakes tasks again and again, while the workers look whether it is a deadlock. It
/// never is, for the sake of a deadline far away.
#[test]
fn wakes_from_outside_during_the_look_are_not_lost() {
    survives("deadlock::wakes_from_outside_during_the_look_are_not_lost", |workers| {
        let events = [const { Event(Mutex::new(None)) }; 3];
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for event in &events {
                        event.bring_about();
                    }
                    std::thread::yield_now();
                }
            });
            let outcome = checked(workers).run(|cx| {
                cx.move_on_after(Duration::from_secs(3600), |cx| {
                    cx.nursery(|_, n| -> Result<(), Cancelled> {
                        for event in &events {
                            n.spawn(move |cx| {
                                for _ in 0..2_000 {
                                    let mut wait = event;
                                    cx.park_on(&mut wait)?;
                                }
                                Ok(())
                            });
                        }
                        Ok(())
                    })
                })
            });
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(matches!(outcome, Ok(Ok(Some(())))));
        });
    });
}
