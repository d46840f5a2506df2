//! Waits of one's own, futures, threads, signals, and the kit itself.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::time::Duration;

use conbrio::lowlevel::{Abort, Finish, Unparker, Wait};
use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals, shutdown_on_termination, wait_ctrl_c, wait_termination};
use conbrio::testing::{Sequencer, SequencerBroken, settle};

use super::{LONG, SHORT, beside, real, simulated, was_cancelled};
use crate::support::in_a_process_of_its_own;

/// Permits that are handed to whoever waits.
#[derive(Default)]
struct Permits(Mutex<(u32, Vec<Unparker>)>);

impl Permits {
    fn give(&self) {
        let mut state = self.0.lock().unwrap();
        match state.1.pop() {
            Some(unparker) => unparker.unpark(),
            None => state.0 += 1,
        }
    }
}

impl Wait for &Permits {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.0.lock().unwrap();
        if state.0 > 0 {
            state.0 -= 1;
            unparker.unpark();
        } else {
            state.1.push(unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        match self.0.lock().unwrap().1.pop() {
            Some(_) => Abort::Succeeded,
            // The permit is on its way.
            None => Abort::Pending,
        }
    }
}

// N17: Cx::park_on
#[test]
fn a_permit_is_not_lost() {
    simulated(3, |cx, trial| {
        let permits = Permits::default();
        let outcome = beside(
            cx,
            |cx| {
                cx.sleep(SHORT)?;
                permits.give();
                Ok(())
            },
            |cx| trial.run(cx, |cx| cx.park_on(&mut &permits)),
        );
        let left = u32::from(was_cancelled(trial, &outcome));
        assert_eq!(permits.0.into_inner().unwrap().0, left);
    });
}

/// An operation that cannot be called off: somebody else ends it, and only then says what became of it.
struct Stubborn<'a> {
    slot: &'a Mutex<Option<Unparker>>,
    was_asked: bool,
    fate: Finish,
}

impl Wait for Stubborn<'_> {
    fn arm(&mut self, unparker: Unparker) {
        *self.slot.lock().unwrap() = Some(unparker);
    }

    fn abort(&mut self) -> Abort {
        self.was_asked = true;
        Abort::Pending
    }

    fn finish(&mut self) -> Finish {
        assert!(self.slot.lock().unwrap().is_none(), "it has not ended");
        self.fate
    }
}

// N17: Cx::park_on
#[test]
fn what_cannot_be_called_off_is_waited_for() {
    for fate in [Finish::Completed, Finish::Cancelled] {
        simulated(3, |cx, trial| {
            let (slot, start) = (Mutex::new(None::<Unparker>), cx.now());
            let ending = |cx: &mut Cx| {
                cx.sleep(SHORT)?;
                if let Some(unparker) = slot.lock().unwrap().take() {
                    unparker.unpark();
                }
                Ok(())
            };
            beside(cx, ending, |cx| {
                let mut wait = Stubborn { slot: &slot, was_asked: false, fate };
                let outcome = trial.run(cx, |cx| cx.park_on(&mut wait));
                assert!(slot.lock().unwrap().is_none(), "nobody ends it any more");
                // Its own word counts if it was asked; if not, it has completed or was never begun.
                let begun = cx.now() > start;
                let cancelled = was_cancelled(trial, &outcome);
                assert_eq!(
                    cancelled,
                    if wait.was_asked { fate == Finish::Cancelled } else { !begun }
                );
            });
        });
    }
}

/// A value that comes by a waker, and counts the futures that wait for it.
#[derive(Default)]
struct Mailbox {
    state: Mutex<(Option<u32>, Option<Waker>)>,
    waiting: AtomicUsize,
}

impl Mailbox {
    fn put(&self, value: u32) {
        let mut state = self.state.lock().unwrap();
        state.0 = Some(value);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    async fn take(&self) -> u32 {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.waiting.fetch_add(1, SeqCst);
        let _leave = Leave(&self.waiting);
        poll_fn(|context| {
            let mut state = self.state.lock().unwrap();
            match state.0.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    state.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

// N17: Cx::wait
#[test]
fn a_future_is_polled_to_its_end_or_dropped() {
    simulated(4, |cx, trial| {
        let mailbox = Mailbox::default();
        let taken = beside(
            cx,
            |cx| {
                cx.sleep(SHORT)?;
                mailbox.put(7);
                Ok(())
            },
            |cx| {
                let outcome = trial.run(cx, |cx| cx.wait(mailbox.take()));
                assert_eq!(mailbox.waiting.load(SeqCst), 0, "the future is gone");
                match was_cancelled(trial, &outcome) {
                    // The value is still there for the next one.
                    true => cx.wait(mailbox.take()).unwrap(),
                    false => outcome.unwrap(),
                }
            },
        );
        assert_eq!(taken, 7);
    });
}

// N17: Cx::blocking
#[test]
fn a_blocking_call_runs_as_a_whole_or_not_at_all() {
    let body = |cx: &mut Cx, trial: &conbrio::testing::Trial| {
        let mut ran = 0;
        let outcome = trial.run(cx, |cx| {
            cx.blocking(|| {
                ran += 1;
                ran
            })
        });
        assert_eq!(ran, u32::from(!was_cancelled(trial, &outcome)));
        assert_eq!(cx.statistics().blocking_waiting, 0);
    };
    simulated(1, body);
    // Before it begins, and when it has ended, unless that was before anybody waited for it.
    real(1, body);
}

// N17: Cx::on_thread_stack
#[test]
fn a_big_stack_is_no_wait() {
    simulated(1, |cx, trial| {
        let outcome = trial.run(cx, |cx| {
            assert_eq!(cx.on_thread_stack(|| 7), 7);
            cx.checkpoint()?;
            Ok::<u32, Cancelled>(cx.on_thread_stack(|| 8))
        });
        assert!(was_cancelled(trial, &outcome) || outcome.is_ok_and(|value| value == 8));
    });
}

// N17: testing::settle
#[test]
fn settling() {
    simulated(3, |cx, trial| {
        let steps = AtomicUsize::new(0);
        beside(
            cx,
            |cx| {
                for _ in 0..3 {
                    cx.yield_now()?;
                    steps.fetch_add(1, SeqCst);
                }
                Ok(())
            },
            |cx| {
                let outcome = trial.run(cx, |cx| settle(cx, Duration::ZERO));
                // Whoever was cancelled does not stand in the way of the next one.
                if was_cancelled(trial, &outcome) {
                    settle(cx, Duration::ZERO).unwrap();
                }
                assert_eq!(steps.load(SeqCst), 3);
            },
        );
    });
}

// N17: testing::Sequencer::step
#[test]
fn a_step_is_taken_or_breaks_the_sequence() {
    simulated(3, |cx, trial| {
        let seq = Sequencer::new();
        let log = Mutex::new(Vec::new());
        let note = |step| log.lock().unwrap().push(step);
        let outcome = cx.nursery(|cx, n| -> Result<_, OrCancelled<SequencerBroken>> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                // It may be broken by now.
                drop(seq.step(cx, 0, |_| note(0)));
                drop(seq.step(cx, 2, |_| note(2)));
                Ok(())
            });
            Ok(trial.run(cx, |cx| seq.step(cx, 1, |_| note(1))))
        });
        let log = log.into_inner().unwrap();
        match outcome.unwrap() {
            Ok(()) => assert_eq!(log, [0, 1, 2]),
            Err(OrCancelled::Cancelled(_)) => {
                assert!(seq.is_broken());
                // Nobody has gone past the step that is missing.
                assert!(log.is_empty() || log == [0], "{log:?}");
            }
            Err(OrCancelled::Failed(broken)) => panic!("{broken}"),
        }
    });
}

fn raise(signal: Signal) {
    signal_hook::low_level::raise(signal.as_raw()).unwrap();
}

// N17: signal::Signals::wait
#[test]
fn a_signal_is_not_lost() {
    real(3, |cx, trial| {
        let mut signals = Signals::new(&[Signal::WINDOW_CHANGE]).unwrap();
        beside(
            cx,
            |cx| {
                settle(cx, Duration::ZERO)?;
                raise(Signal::WINDOW_CHANGE);
                Ok(())
            },
            |cx| {
                let mut outcome = trial.run(cx, |cx| signals.wait(cx));
                if was_cancelled(trial, &outcome) {
                    outcome = signals.wait(cx);
                }
                assert_eq!(outcome.unwrap(), Signal::WINDOW_CHANGE);
                assert_eq!(signals.try_wait(), None);
            },
        );
    });
}

// Outside of the calls the signals would end the process, so another listener stays.
// N17: signal::wait_ctrl_c, signal::wait_termination
#[test]
fn a_termination_is_waited_for() {
    in_a_process_of_its_own("waits::others::a_termination_is_waited_for", || {
        for (signal, by_keyboard) in [(Signal::INTERRUPT, true), (Signal::TERMINATE, false)] {
            real(3, |cx, trial| {
                let mut listener = Signals::new(&[signal]).unwrap();
                beside(
                    cx,
                    |cx| {
                        settle(cx, Duration::ZERO)?;
                        raise(signal);
                        Ok(())
                    },
                    |cx| {
                        let outcome = trial.run(cx, |cx| match by_keyboard {
                            true => wait_ctrl_c(cx).map(|()| Signal::INTERRUPT),
                            false => wait_termination(cx),
                        });
                        if !was_cancelled(trial, &outcome) {
                            assert_eq!(outcome.unwrap(), signal);
                        }
                        assert_eq!(listener.wait(cx).unwrap(), signal);
                    },
                );
            });
        }
    });
}

// N17: signal::shutdown_on_termination
#[test]
fn a_shutdown_by_signal_may_be_cancelled() {
    in_a_process_of_its_own("waits::others::a_shutdown_by_signal_may_be_cancelled", || {
        real(3, |cx, trial| {
            let mut listener = Signals::new(&[Signal::TERMINATE]).unwrap();
            beside(
                cx,
                |cx| {
                    settle(cx, Duration::ZERO)?;
                    raise(Signal::TERMINATE);
                    Ok(())
                },
                |cx| {
                    let outcome = trial.run(cx, |cx| {
                        shutdown_on_termination(cx, LONG, |cx| -> std::io::Result<()> {
                            cx.wait_shutdown()?;
                            Ok(())
                        })
                    });
                    // What was caught before the cancellation has had its effect.
                    assert!(was_cancelled(trial, &outcome) || outcome.unwrap().is_some());
                    assert_eq!(listener.wait(cx).unwrap(), Signal::TERMINATE);
                },
            );
        });
    });
}
