//! Signals in simulated runs: what they do elsewhere, sent by the test alone.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals, cancel_on_ctrl_c, shutdown_on_termination};
use conbrio::signal::{wait_ctrl_c, wait_termination};
use conbrio::testing::network::Network;
use conbrio::testing::{Builder, cancel_at_every_checkpoint, exhaust, explore, raise, run};

type Io<T = ()> = std::io::Result<T>;

/// Longer than a signal is on its way.
const SOON: Duration = Duration::from_millis(2);
const GRACE: Duration = Duration::from_secs(30);

fn soon(cx: &mut Cx) {
    cx.sleep(SOON).unwrap();
}

// spec: test_signals.open_signal_receiver
#[test]
fn they_coalesce_and_each_listener_gets_its_own() {
    explore(0..200, |cx| {
        let mut first = Signals::new(&[Signal::USER1]).unwrap();
        let mut second = Signals::new(&[Signal::USER1, Signal::USER1]).unwrap();
        assert_eq!((first.pending(), first.try_wait()), (0, None));
        cx.nursery(|cx, n| -> Io {
            let mut waits = n.spawn(|cx| Ok(first.wait(cx)?));
            raise(cx, Signal::USER1);
            assert_eq!(waits.join(cx)?, Signal::USER1);
            // It is on its way or has come: whoever waits is told once.
            raise(cx, Signal::USER1);
            raise(cx, Signal::USER1);
            soon(cx);
            Ok(())
        })
        .unwrap();
        for signals in [&mut first, &mut second] {
            assert_eq!(signals.pending(), 1);
            assert_eq!(signals.wait(cx).unwrap(), Signal::USER1);
            assert_eq!((signals.pending(), signals.try_wait()), (0, None));
        }
    });
}

#[test]
fn none_comes_from_the_system_and_none_goes_there() {
    let caught = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(Signal::USER2.as_raw(), Arc::clone(&caught)).unwrap();
    run(|cx| {
        let mut signals = Signals::new(&[Signal::USER2]).unwrap();
        signal_hook::low_level::raise(Signal::USER2.as_raw()).unwrap();
        assert!(caught.swap(false, SeqCst), "the handler was taken away");
        soon(cx);
        assert_eq!(signals.try_wait(), None);
        raise(cx, Signal::USER2);
        assert_eq!(signals.wait(cx).unwrap(), Signal::USER2);
        assert!(!caught.load(SeqCst));
    });
}

#[test]
fn when_one_arrives_and_in_which_order_is_drawn_from_the_seed() {
    let course = |seed| {
        Builder::new().seed(seed).run(|cx| {
            let mut signals = Signals::new(&[Signal::USER1, Signal::USER2]).unwrap();
            let begin = cx.now();
            raise(cx, Signal::USER1);
            raise(cx, Signal::USER2);
            let mut seen = [(); 2].map(|()| (signals.wait(cx).unwrap(), cx.now() - begin));
            assert!(seen.iter().all(|(_, after)| *after <= Duration::from_millis(1)));
            // Without time between them it is as the listener looks.
            if seen[0].1 == seen[1].1 {
                seen.sort();
            }
            seen
        })
    };
    let courses: Vec<_> = (0..200).map(course).collect();
    assert!(courses.iter().any(|seen| seen[0].0 == Signal::USER1));
    assert!(courses.iter().any(|seen| seen[0].0 == Signal::USER2));
    let times: BTreeSet<Duration> = courses.iter().flatten().map(|(_, after)| *after).collect();
    assert_eq!(times.len(), 8, "{times:?}");
    for seed in 0..20 {
        assert_eq!(course(seed), courses[seed as usize]);
    }
    // The ordinary course is that they arrive at once.
    let _ = exhaust(0, |cx| {
        let mut signals = Signals::new(&[Signal::USER1]).unwrap();
        raise(cx, Signal::USER1);
        assert_eq!(signals.try_wait(), Some(Signal::USER1));
    });
}

// spec: test_signals.open_signal_receiver_no_starvation
#[test]
fn two_that_always_come_take_turns() {
    explore(0..50, |cx| {
        let mut signals = Signals::new(&[Signal::USER1, Signal::USER2]).unwrap();
        let mut seen = Vec::new();
        for _ in 0..10 {
            raise(cx, Signal::USER1);
            raise(cx, Signal::USER2);
            soon(cx);
            seen.push(signals.wait(cx).unwrap());
        }
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
        while signals.try_wait().is_some() {}
    });
}

#[test]
fn each_host_is_a_process() {
    explore(0..100, |cx| {
        let network = Network::of(cx);
        let hosts = [1, 2].map(|last| network.host([10, 0, 0, last]));
        cx.nursery(|cx, n| -> Io {
            let mut waits = hosts
                .each_ref()
                .map(|host| n.spawn(move |cx| host.enter(cx, |cx| Ok(wait_termination(cx)?))));
            soon(cx);
            hosts[1].enter(cx, |cx| raise(cx, Signal::INTERRUPT));
            assert_eq!(waits[1].join(cx)?, Signal::INTERRUPT);
            soon(cx);
            assert!(!waits[0].is_finished());
            hosts[0].enter(cx, |cx| raise(cx, Signal::TERMINATE));
            assert_eq!(waits[0].join(cx)?, Signal::TERMINATE);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn whoever_does_not_listen_ignores_what_is_ignored() {
    run(|cx| {
        for signal in [Signal::CHILD, Signal::CONTINUE, Signal::WINDOW_CHANGE] {
            raise(cx, signal);
        }
        soon(cx);
        let mut signals = Signals::new(&[Signal::CHILD]).unwrap();
        assert_eq!(signals.try_wait(), None, "what came before is not seen");
    });
}

#[test]
#[should_panic(
    expected = "SIGTERM ended the process: nobody listened to the signal; the main task"
)]
fn without_a_listener_it_ends_the_run() {
    run(|cx| {
        raise(cx, Signal::TERMINATE);
        // The run is over before the sleep is.
        let slept = cx.sleep(GRACE);
        assert_eq!(slept.unwrap_err().reason(), Some(ENDED));
    });
}

const ENDED: &str = "SIGTERM ended the process: nobody listened to the signal";

// spec: test_signals.catch_signals_race_condition_on_exit
#[test]
#[should_panic(expected = "SIGHUP ended the process: nobody listened to the signal")]
fn what_nobody_took_is_raised_again() {
    run(|cx| {
        let mut taken = Signals::new(&[Signal::USER1]).unwrap();
        raise(cx, Signal::USER1);
        assert_eq!(taken.wait(cx).unwrap(), Signal::USER1);
        drop(taken);
        soon(cx);
        // Another listener may still take it.
        let signals = Signals::new(&[Signal::HANGUP]).unwrap();
        let mut other = Signals::new(&[Signal::HANGUP]).unwrap();
        raise(cx, Signal::HANGUP);
        soon(cx);
        drop(signals);
        assert_eq!(other.try_wait(), Some(Signal::HANGUP));
        raise(cx, Signal::HANGUP);
        soon(cx);
        // Nothing comes after this, so that whoever began the run has to be told.
        drop(other);
    });
}

#[test]
fn a_first_signal_drains_and_a_second_one_cuts_short() {
    explore(0..200, |cx| {
        let begin = cx.now();
        let program = |cx: &mut Cx| {
            shutdown_on_termination(cx, GRACE, |cx| -> Io {
                cx.wait_shutdown()?;
                Ok(cx.sleep_forever()?)
            })
        };
        cx.nursery(|cx, n| -> Io {
            let mut drained = n.spawn(move |cx| {
                shutdown_on_termination(cx, GRACE, |cx| -> Io { Ok(cx.wait_shutdown()?) })
            });
            let mut cut_short = n.spawn(program);
            soon(cx);
            raise(cx, Signal::INTERRUPT);
            assert_eq!(drained.join(cx)?, Some(()));
            soon(cx);
            raise(cx, Signal::TERMINATE);
            assert_eq!(cut_short.join(cx)?, None);
            assert!(cx.now() - begin < GRACE);
            let mut out_of_time = n.spawn(program);
            soon(cx);
            raise(cx, Signal::TERMINATE);
            assert_eq!(out_of_time.join(cx)?, None);
            assert!(cx.now() - begin > GRACE);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
#[should_panic(expected = "SIGINT ended the process")]
fn a_third_signal_ends_the_process() {
    run(|cx| {
        let _ = cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                shutdown_on_termination(cx, GRACE, |cx| {
                    cx.shield(|cx| cx.sleep(2 * GRACE))?;
                    Ok::<_, std::io::Error>(())
                })
                .map(drop)
            });
            for _ in 0..3 {
                soon(cx);
                raise(cx, Signal::INTERRUPT);
            }
            Ok(())
        });
    });
}

#[test]
#[should_panic(expected = "SIGINT ended the process")]
fn the_second_ctrl_c_ends_what_does_not_stop_for_the_first() {
    run(|cx| {
        let _ = cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                cancel_on_ctrl_c(cx, |cx| {
                    let error = cx.sleep(GRACE).unwrap_err();
                    assert_eq!(error.reason(), Some("Ctrl-C (SIGINT)"));
                    cx.shield(|cx| cx.sleep(GRACE))?;
                    Ok::<_, std::io::Error>(())
                })
                .map(drop)
            });
            for _ in 0..2 {
                soon(cx);
                raise(cx, Signal::INTERRUPT);
            }
            Ok(())
        });
    });
}

// N17: signal::Signals::wait, signal::wait_ctrl_c, signal::wait_termination
#[test]
fn a_wait_that_is_cancelled_has_taken_nothing() {
    let _ = cancel_at_every_checkpoint(|cx, trial| {
        let mut listener = Signals::new(&[Signal::INTERRUPT]).unwrap();
        let mut signals = Signals::new(&[Signal::INTERRUPT]).unwrap();
        cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                cx.sleep(Duration::from_secs(1))?;
                raise(cx, Signal::INTERRUPT);
                cx.sleep(Duration::from_secs(1))?;
                raise(cx, Signal::INTERRUPT);
                cx.sleep(Duration::from_secs(1))?;
                raise(cx, Signal::INTERRUPT);
                Ok(())
            });
            let first = trial.run(cx, |cx| -> Io {
                signals.wait(cx)?;
                wait_ctrl_c(cx)?;
                assert_eq!(wait_termination(cx)?, Signal::INTERRUPT);
                Ok(())
            });
            if let Err(error) = first {
                assert!(error.cancelled().is_some(), "{error}");
            }
            Ok(())
        })
        .unwrap();
        soon(cx);
        assert_eq!(listener.wait(cx).unwrap(), Signal::INTERRUPT);
        // Three came, and the first may be taken.
        assert!(signals.pending() == 1 && signals.try_wait() == Some(Signal::INTERRUPT));
    });
}

#[test]
fn those_of_another_run_are_refused() {
    let mut signals = run(|_| Signals::new(&[Signal::USER1]).unwrap());
    let refused = |error: std::io::Error| {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    };
    run(|cx| refused(signals.wait(cx).unwrap_err().into()));
    conbrio::run(|cx| refused(signals.wait(cx).unwrap_err().into()));
    let mut of_the_system = Signals::new(&[Signal::WINDOW_CHANGE]).unwrap();
    run(|cx| refused(of_the_system.wait(cx).unwrap_err().into()));
}

#[test]
fn what_is_no_signal_or_cannot_be_caught_is_refused_as_elsewhere() {
    run(|_| {
        for bad in [Signal::from_raw(1234), Signal::from_raw(0), Signal::from_raw(32), Signal::KILL]
        {
            let error = Signals::new(&[Signal::USER1, bad]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&bad.to_string()), "{error}");
        }
    });
}

#[test]
#[should_panic(expected = "raise SIGINT: this run is not simulated")]
fn a_real_run_gets_its_signals_from_the_system() {
    conbrio::run(|cx| raise(cx, Signal::INTERRUPT));
}

#[test]
#[should_panic(expected = "raise signal 1234: there is no such signal")]
fn what_is_no_signal_cannot_be_sent() {
    run(|cx| raise(cx, Signal::from_raw(1234)));
}

#[test]
#[should_panic(expected = "raise SIGTSTP: it would stop the process, which is not simulated")]
fn no_process_is_stopped() {
    run(|cx| {
        let mut signals = Signals::new(&[Signal::from_raw(libc::SIGTSTP)]).unwrap();
        raise(cx, Signal::from_raw(libc::SIGTSTP));
        signals.wait(cx).unwrap();
        drop(signals);
        raise(cx, Signal::from_raw(libc::SIGTSTP));
    });
}
