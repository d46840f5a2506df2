//! Signals. They belong to the process, so that each test has signals of its own, or a process.

use std::io::{self, ErrorKind};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals, shutdown_on_termination, wait_ctrl_c, wait_termination};
use conbrio::testing::settle;
use rustix::process::{Signal as Raise, getpid, kill_process};

use crate::support::{
    CUSHION, cancel_when_blocked, cancelled_before, in_a_process_of_its_own, on_workers,
};

/// Sends a signal to the process, which arrives at some thread at some time.
fn raise(signal: Raise) {
    kill_process(getpid(), signal).unwrap();
}

/// Sends a signal to this thread, which has handled it when this returns. Only for the main task: the
/// threads of the other workers block signals.
fn raise_here(signal: Signal) {
    signal_hook::low_level::raise(signal.as_raw()).unwrap();
}

#[test]
fn signals_are_waited_for_and_coalesced() {
    on_workers(|cx| {
        let mut signals = Signals::new(&[Signal::USER1]).unwrap();
        // Also when they came before anybody waits. The handler has run when `raise_here` returns.
        for _ in 0..10 {
            raise_here(Signal::USER1);
        }
        assert_eq!(signals.wait(cx).unwrap(), Signal::USER1);
        assert_eq!(signals.try_wait(), None);
        let _ = cancel_when_blocked(cx, |cx| signals.wait(cx));
        // And while somebody waits.
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(|cx| Ok(signals.wait(cx).unwrap()));
            settle(cx, CUSHION)?;
            raise_here(Signal::USER1);
            assert_eq!(child.join(cx)?, Signal::USER1);
            Ok(())
        })
        .unwrap();
    });
}

// The handler runs on the stack of whoever is interrupted, which may be a small task.
#[test]
fn a_signal_may_come_while_a_task_runs() {
    on_workers(|cx| {
        let mut signals = Signals::new(&[Signal::ALARM]).unwrap();
        for _ in 0..100 {
            raise_here(Signal::ALARM);
            assert_eq!(signals.wait(cx).unwrap(), Signal::ALARM);
            assert_eq!(signals.try_wait(), None);
        }
    });
}

#[test]
fn a_cancelled_wait_leaves_the_signal() {
    on_workers(|cx| {
        let mut signals = Signals::new(&[Signal::CONTINUE]).unwrap();
        let _ = cancel_when_blocked(cx, |cx| signals.wait(cx));
        raise(Raise::CONT);
        let _ = cancelled_before(cx, |cx| signals.wait(cx));
        assert_eq!(signals.wait(cx).unwrap(), Signal::CONTINUE);
    });
}

#[test]
fn each_listener_hears_its_signals_and_none_is_hidden() {
    in_a_process_of_its_own("signals::each_listener_hears_its_signals_and_none_is_hidden", || {
        on_workers(|cx| {
            let mut both = Signals::new(&[Signal::USER2, Signal::WINDOW_CHANGE]).unwrap();
            let mut second = Signals::new(&[Signal::USER2]).unwrap();
            raise_here(Signal::USER2);
            raise_here(Signal::WINDOW_CHANGE);
            let mut seen = [both.wait(cx).unwrap(), both.wait(cx).unwrap()];
            seen.sort();
            assert_eq!(seen, [Signal::USER2, Signal::WINDOW_CHANGE]);
            assert_eq!(second.wait(cx).unwrap(), Signal::USER2);
            // One that keeps coming does not hide the other.
            raise_here(Signal::WINDOW_CHANGE);
            let mut turns = 0;
            loop {
                raise_here(Signal::USER2);
                turns += 1;
                if both.wait(cx).unwrap() == Signal::WINDOW_CHANGE {
                    break;
                }
            }
            assert!(turns <= 3, "{turns}");
            // What nobody takes would be raised again, and end the process.
            while both.try_wait().is_some() {}
        });
    });
}

#[test]
fn ctrl_c_and_termination_end_a_wait() {
    in_a_process_of_its_own("signals::ctrl_c_and_termination_end_a_wait", || {
        on_workers(|cx| {
            for signal in [Raise::INT, Raise::TERM] {
                cx.nursery(|cx, n| -> std::io::Result<()> {
                    let mut child = n.spawn(|cx| Ok(wait_termination(cx)?));
                    if signal == Raise::INT {
                        n.spawn(|cx| Ok(wait_ctrl_c(cx)?));
                    }
                    settle(cx, CUSHION)?;
                    raise(signal);
                    assert_eq!(child.join(cx)?.as_raw(), signal.as_raw());
                    Ok(())
                })
                .unwrap();
            }
            // What came while nobody waited is not seen by whoever waits later.
            let _ = cancel_when_blocked(cx, wait_ctrl_c);
        });
    });
}

#[test]
fn the_first_signal_shuts_down_and_the_second_one_cancels() {
    const LONG: Duration = Duration::from_secs(3600);
    let name = "signals::the_first_signal_shuts_down_and_the_second_one_cancels";
    in_a_process_of_its_own(name, || {
        on_workers(|cx| {
            // Without a signal it changes nothing.
            let value = shutdown_on_termination(cx, LONG, |_| Ok::<_, io::Error>(7));
            assert_eq!(value.unwrap(), Some(7));
            let failed = shutdown_on_termination(cx, LONG, |_| Err::<(), _>(io::Error::other("x")));
            assert_eq!(failed.unwrap_err().to_string(), "x");

            for (first, second) in [(Raise::INT, Raise::TERM), (Raise::TERM, Raise::INT)] {
                let ended = shutdown_on_termination(cx, LONG, |cx| -> io::Result<u32> {
                    assert!(!cx.shutdown_requested());
                    raise(first);
                    cx.wait_shutdown()?;
                    assert!(cx.shutdown_requested());
                    Ok(8)
                });
                assert_eq!(ended.unwrap(), Some(8));

                let mut reason = None;
                let ended = shutdown_on_termination(cx, LONG, |cx| -> Result<(), io::Error> {
                    raise(first);
                    cx.wait_shutdown()?;
                    raise(second);
                    let cancelled = cx.sleep_forever().unwrap_err();
                    reason = cancelled.reason().map(str::to_owned);
                    Err(cancelled.into())
                });
                assert!(ended.unwrap().is_none());
                let number = Signal::from_raw(second.as_raw());
                assert_eq!(reason.unwrap(), format!("{number} came during the shutdown"));
            }

            // The grace may be over before.
            let ended = shutdown_on_termination(cx, CUSHION, |cx| -> io::Result<()> {
                raise(Raise::INT);
                Ok(cx.sleep_forever()?)
            });
            assert!(ended.unwrap().is_none());
            // A value that is there in spite of it counts.
            let ended = shutdown_on_termination(cx, Duration::ZERO, |cx| -> io::Result<u32> {
                raise(Raise::INT);
                let _ = cx.sleep_forever();
                Ok(9)
            });
            assert_eq!(ended.unwrap(), Some(9));

            // Cancellations from outside are passed on, and before it begins they keep it from that.
            let wait = |cx: &mut Cx| {
                shutdown_on_termination(cx, LONG, |cx| -> io::Result<()> {
                    Ok(cx.sleep_forever()?)
                })
            };
            let _ = cancel_when_blocked(cx, wait);
            let mut was_called = false;
            let _ = cancelled_before(cx, |cx| {
                shutdown_on_termination(cx, LONG, |_| -> io::Result<()> {
                    was_called = true;
                    Ok(())
                })
            });
            assert!(!was_called);
        });
    });
}

#[test]
fn what_cannot_be_caught_is_named() {
    for number in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1, 12_345] {
        let signal = Signal::from_raw(number);
        let error = Signals::new(&[Signal::HANGUP, signal]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}: {error}");
        assert!(error.to_string().contains(&signal.to_string()), "{error}");
    }
    assert_eq!(format!("{:?}", Signal::TERMINATE), "Signal(SIGTERM)");
}
