//! Ctrl-C as a cancellation, and what a second one does.

use std::io;

use conbrio::CancelSource;
use conbrio::prelude::*;
use conbrio::signal::{Signal, cancel_on_ctrl_c, shutdown_on_termination};

use crate::support::{
    LONG, cancel_when_blocked, cancelled_before, in_a_process_of_its_own,
    in_a_process_that_ends_by, on_workers,
};

/// Sends a signal to this thread, which has handled it when this returns.
fn raise(signal: Signal) {
    signal_hook::low_level::raise(signal.as_raw()).unwrap();
}

/// Waits to be ended by a signal that is on its way.
fn until_killed() -> ! {
    loop {
        std::thread::yield_now();
    }
}

// Of the eleven cases those that are none of Python: whoever waits sees it at the next checkpoint, children
// and siblings as well; it waits for what is shielded; what was done in spite of it counts.
// spec: test_cancelled.reason_delayed_ki, test_ki.ki_protection_works
#[test]
fn ctrl_c_cancels_with_a_reason() {
    in_a_process_of_its_own("ctrl_c::ctrl_c_cancels_with_a_reason", || {
        on_workers(|cx| {
            let mut seen = Vec::new();
            let ended = cancel_on_ctrl_c(cx, |cx| -> io::Result<()> {
                cx.nursery(|cx, n| -> io::Result<()> {
                    let mut sleeping = n.spawn(|cx| Ok(cx.sleep_forever().unwrap_err()));
                    raise(Signal::INTERRUPT);
                    let own = cx.sleep_forever().unwrap_err();
                    seen.push(cx.shield(|cx| sleeping.join(cx)).unwrap());
                    seen.push(own);
                    Ok(())
                })?;
                Ok(cx.checkpoint()?)
            });
            assert!(ended.unwrap().is_none());
            assert_eq!(seen.len(), 2);
            for cancelled in seen {
                assert_eq!(cancelled.reason(), Some("Ctrl-C (SIGINT)"));
                assert_eq!(cancelled.source(), CancelSource::Explicit);
                assert_eq!(cancelled.source_task(), Some("signals"));
                assert!(cancelled.to_string().ends_with("Ctrl-C (SIGINT)"));
            }
            // Shielded code is not disturbed, and sees it when the shield is gone.
            let ended = cancel_on_ctrl_c(cx, |cx| -> io::Result<()> {
                cx.shield(|cx| -> io::Result<()> {
                    raise(Signal::INTERRUPT);
                    cx.sleep(crate::support::CUSHION)?;
                    Ok(cx.checkpoint()?)
                })?;
                Ok(cx.sleep_forever()?)
            });
            assert!(ended.unwrap().is_none());
            // A value that is there in spite of it counts.
            let ended = cancel_on_ctrl_c(cx, |cx| -> io::Result<u32> {
                raise(Signal::INTERRUPT);
                let _ = cx.sleep_forever();
                Ok(5)
            });
            assert_eq!(ended.unwrap(), Some(5));
        });
    });
}

#[test]
fn without_ctrl_c_nothing_changes() {
    in_a_process_of_its_own("ctrl_c::without_ctrl_c_nothing_changes", || {
        on_workers(|cx| {
            assert_eq!(cancel_on_ctrl_c(cx, |_| Ok::<_, io::Error>(7)).unwrap(), Some(7));
            let failed = cancel_on_ctrl_c(cx, |_| Err::<(), _>(io::Error::other("x")));
            assert_eq!(failed.unwrap_err().to_string(), "x");
            let wait = |cx: &mut Cx| {
                cancel_on_ctrl_c(cx, |cx| -> io::Result<()> { Ok(cx.sleep_forever()?) })
            };
            let _ = cancel_when_blocked(cx, wait);
            let mut was_called = false;
            let _ = cancelled_before(cx, |cx| {
                cancel_on_ctrl_c(cx, |_| -> io::Result<()> {
                    was_called = true;
                    Ok(())
                })
            });
            assert!(!was_called);
        });
    });
}

#[test]
fn a_second_ctrl_c_ends_the_process() {
    in_a_process_that_ends_by(libc::SIGINT, "ctrl_c::a_second_ctrl_c_ends_the_process", || {
        let run = |cx: &mut Cx| {
            cancel_on_ctrl_c(cx, |cx| -> io::Result<()> {
                raise(Signal::INTERRUPT);
                let _ = cx.sleep_forever();
                // The one who watches may not have let go of the signal yet; then it is raised again.
                raise(Signal::INTERRUPT);
                cx.shield(|cx| Ok(cx.sleep(LONG)?))
            })
        };
        let ended = conbrio::Builder::new().workers(1).run(run);
        unreachable!("it has survived: {ended:?}");
    });
}

#[test]
fn a_third_signal_of_a_shutdown_ends_the_process() {
    let name = "ctrl_c::a_third_signal_of_a_shutdown_ends_the_process";
    in_a_process_that_ends_by(libc::SIGTERM, name, || {
        let run = |cx: &mut Cx| {
            shutdown_on_termination(cx, LONG, |cx| -> io::Result<()> {
                raise(Signal::INTERRUPT);
                cx.wait_shutdown()?;
                raise(Signal::INTERRUPT);
                let _ = cx.sleep_forever();
                raise(Signal::TERMINATE);
                cx.shield(|cx| Ok(cx.sleep(LONG)?))
            })
        };
        let ended = conbrio::Builder::new().workers(1).run(run);
        unreachable!("it has survived: {ended:?}");
    });
}

// In the last moment, when nobody waits for it any more, it is not lost.
// spec: test_ki.ki_protection_works
#[test]
fn a_ctrl_c_that_comes_too_late_has_its_default_effect() {
    let name = "ctrl_c::a_ctrl_c_that_comes_too_late_has_its_default_effect";
    in_a_process_that_ends_by(libc::SIGINT, name, || {
        let run = |cx: &mut Cx| {
            cancel_on_ctrl_c(cx, |cx| -> io::Result<()> {
                // The watching task does not get to it: it is on this worker.
                cx.checkpoint()?;
                raise(Signal::INTERRUPT);
                Ok(())
            })
        };
        let _ = conbrio::Builder::new().workers(1).run(run);
        until_killed();
    });
}
