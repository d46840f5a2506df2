//! What becomes of signals before, while, and after somebody catches them. They belong to the process, so
//! that each test has a process of its own.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::prelude::*;
use conbrio::process::{Command, Stdio};
use conbrio::signal::{Signal, Signals, cancel_on_ctrl_c};

use crate::support::{in_a_process_of_its_own, in_a_process_that_ends_by, on_workers, sh};

/// Sends a signal to this thread, which has handled it when this returns. Only for the main task: the
/// threads of the other workers block signals.
fn raise(signal: Signal) {
    signal_hook::low_level::raise(signal.as_raw()).unwrap();
}

/// Installs a handler, as another part of the program may. It stores a one.
fn handler_for(signal: Signal) -> Arc<AtomicUsize> {
    let called = Arc::new(AtomicUsize::new(0));
    signal_hook::flag::register_usize(signal.as_raw(), Arc::clone(&called), 1).unwrap();
    called
}

/// Whether the handler was called since the last look.
fn was_called(handler: &AtomicUsize) -> bool {
    handler.swap(0, SeqCst) == 1
}

// spec: test_signals.open_signal_receiver
#[test]
fn signals_coalesce_and_the_handler_comes_back() {
    in_a_process_of_its_own("signals::signals_coalesce_and_the_handler_comes_back", || {
        let handler = handler_for(Signal::USER1);
        on_workers(|cx| {
            raise(Signal::USER1);
            assert!(was_called(&handler));
            let mut signals = Signals::new(&[Signal::USER1]).unwrap();
            assert_eq!(signals.pending(), 0, "what came before is not seen");
            raise(Signal::USER1);
            raise(Signal::USER1);
            assert_eq!(signals.pending(), 1);
            assert!(format!("{signals:?}").contains("[Signal(SIGUSR1)], pending: 1"));
            assert_eq!(signals.wait(cx).unwrap(), Signal::USER1);
            assert_eq!((signals.pending(), signals.try_wait()), (0, None));
            assert!(!was_called(&handler), "it was taken away meanwhile");
            drop(signals);
            assert!(!was_called(&handler), "nothing was left");
            raise(Signal::USER1);
            assert!(was_called(&handler));
        });
    });
}

// spec: test_signals.open_signal_receiver_restore_handler_after_one_bad_signal
// spec: test_signals.open_signal_receiver_restore_handler_after_duplicate_signal
#[test]
fn the_handler_comes_back_after_a_failure_and_after_a_double() {
    let name = "signals::the_handler_comes_back_after_a_failure_and_after_a_double";
    in_a_process_of_its_own(name, || {
        let handler = handler_for(Signal::USER1);
        for bad in [Signal::from_raw(1234), Signal::from_raw(0), Signal::KILL] {
            let error = Signals::new(&[Signal::USER1, bad]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&bad.to_string()), "{error}");
            raise(Signal::USER1);
            assert!(was_called(&handler));
        }
        let mut signals = Signals::new(&[Signal::USER1, Signal::USER1]).unwrap();
        raise(Signal::USER1);
        assert_eq!((signals.try_wait(), signals.try_wait()), (Some(Signal::USER1), None));
        assert!(!was_called(&handler));
        drop(signals);
        raise(Signal::USER1);
        assert!(was_called(&handler));
        assert_eq!(Signals::from_slice(&[]).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

// The type of `new` refuses an empty list, see there. And one who waits has it by `&mut`: there is no second.
// spec: test_signals.open_signal_receiver_empty_fail, test_signals.open_signal_receiver_conflict
#[test]
fn each_who_waits_has_signals_of_its_own() {
    in_a_process_of_its_own("signals::each_who_waits_has_signals_of_its_own", || {
        on_workers(|cx| {
            let mut first = Signals::new(&[Signal::USER2]).unwrap();
            let mut second = Signals::new(&[Signal::USER2]).unwrap();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut children = [&mut first, &mut second]
                    .map(|signals| n.spawn(|cx| Ok(signals.wait(cx).unwrap())));
                conbrio::testing::settle(cx, crate::support::CUSHION)?;
                raise(Signal::USER2);
                for child in &mut children {
                    assert_eq!(child.join(cx)?, Signal::USER2);
                }
                Ok(())
            })
            .unwrap();
        });
    });
}

// spec: test_signals.open_signal_receiver_no_starvation
#[test]
fn two_that_always_come_take_turns() {
    in_a_process_of_its_own("signals::two_that_always_come_take_turns", || {
        on_workers(|cx| {
            let mut signals = Signals::new(&[Signal::USER1, Signal::USER2]).unwrap();
            let mut seen = Vec::new();
            for _ in 0..20 {
                raise(Signal::USER1);
                raise(Signal::USER2);
                seen.push(signals.wait(cx).unwrap());
            }
            assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
            while signals.try_wait().is_some() {}
        });
    });
}

// spec: test_signals.catch_signals_race_condition_on_exit
#[test]
fn what_nobody_took_is_raised_again() {
    in_a_process_of_its_own("signals::what_nobody_took_is_raised_again", || {
        let handlers = [Signal::USER1, Signal::USER2].map(handler_for);
        on_workers(|cx| {
            let signals = Signals::new(&[Signal::USER1, Signal::USER2]).unwrap();
            raise(Signal::USER1);
            raise(Signal::USER2);
            assert!(handlers.iter().all(|handler| !was_called(handler)));
            drop(signals);
            settled(&handlers[0]);
            settled(&handlers[1]);
            // Only what was not taken, and only if no other listener is left, or has taken it.
            let mut both = Signals::new(&[Signal::USER1, Signal::USER2]).unwrap();
            let mut one = Signals::new(&[Signal::USER1]).unwrap();
            raise(Signal::USER1);
            raise(Signal::USER2);
            assert_eq!(both.wait(cx).unwrap(), Signal::USER1);
            drop(both);
            settled(&handlers[1]);
            assert!(!was_called(&handlers[0]));
            assert_eq!(one.try_wait(), Some(Signal::USER1));
            raise(Signal::USER1);
            drop(one);
            settled(&handlers[0]);
            // One that the first listener has taken is not for the second one to raise.
            let mut first = Signals::new(&[Signal::USER1]).unwrap();
            let second = Signals::new(&[Signal::USER1]).unwrap();
            raise(Signal::USER1);
            assert_eq!(first.try_wait(), Some(Signal::USER1));
            drop((first, second));
            raise(Signal::USER2);
            settled(&handlers[1]);
            assert!(!was_called(&handlers[0]));
        });
    });
}

/// Waits until the handler was called: a signal to the process arrives at some thread at some time.
fn settled(handler: &AtomicUsize) {
    while !was_called(handler) {
        std::thread::yield_now();
    }
}

// spec: test_signals.catch_signals_race_condition_on_exit
#[test]
fn what_nobody_took_has_its_default_effect() {
    let name = "signals::what_nobody_took_has_its_default_effect";
    in_a_process_that_ends_by(libc::SIGTERM, name, || {
        let signals = Signals::new(&[Signal::TERMINATE]).unwrap();
        raise(Signal::TERMINATE);
        drop(signals);
        // It comes now, or a little later.
        loop {
            std::thread::yield_now();
        }
    });
}

// The shell makes its children ignore a signal: then it stays ignored, whatever was left.
// spec: test_signals.catch_signals_race_condition_on_exit
#[test]
fn what_was_ignored_is_ignored_again() {
    in_a_process_of_its_own("signals::what_was_ignored_is_ignored_again", || {
        if std::env::var("CONBRIO_TEST_IGNORED").is_err() {
            let again = format!(
                "trap '' HUP; CONBRIO_TEST_IGNORED=1 exec '{}' --exact {} --nocapture",
                std::env::current_exe().unwrap().display(),
                "signals::what_was_ignored_is_ignored_again"
            );
            assert!(
                std::process::Command::new("sh").args(["-c", &again]).status().unwrap().success()
            );
            return;
        }
        raise(Signal::HANGUP);
        let mut signals = Signals::new(&[Signal::HANGUP]).unwrap();
        raise(Signal::HANGUP);
        assert_eq!(signals.try_wait(), Some(Signal::HANGUP));
        raise(Signal::HANGUP);
        drop(signals);
        raise(Signal::HANGUP);
    });
}

// spec: test_ki.ki_is_good_neighbor
#[test]
fn a_handler_that_others_have_put_there_stays() {
    in_a_process_of_its_own("signals::a_handler_that_others_have_put_there_stays", || {
        let mut signals = Signals::new(&[Signal::USER1]).unwrap();
        raise(Signal::USER1);
        assert!(signals.try_wait().is_some());
        let handler = handler_for(Signal::USER1);
        drop(signals);
        raise(Signal::USER1);
        assert!(was_called(&handler));
        // And it comes back after the next one.
        let mut signals = Signals::new(&[Signal::USER1]).unwrap();
        raise(Signal::USER1);
        assert!(signals.try_wait().is_some() && !was_called(&handler));
        drop(signals);
        raise(Signal::USER1);
        assert!(was_called(&handler));
    });
}

// Any thread may begin and end to catch signals, inside and outside of tasks, while they come.
// spec: test_signals.catch_signals_wrong_thread
#[test]
fn listeners_come_and_go_on_all_threads_while_signals_come() {
    let name = "signals::listeners_come_and_go_on_all_threads_while_signals_come";
    in_a_process_of_its_own(name, || {
        let handler = handler_for(Signal::USER1);
        let sent = Signals::new(&[Signal::USER1]).unwrap();
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..3000 {
                        raise(Signal::USER1);
                    }
                });
            }
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..3000 {
                        let mut signals = Signals::new(&[Signal::USER1, Signal::USER2]).unwrap();
                        raise(Signal::USER1);
                        assert!(signals.try_wait().is_some());
                    }
                });
            }
        });
        assert!(!was_called(&handler), "one listener was always there");
        drop(sent);
    });
}

// Nothing is thrown into running code here: the call ends for it, and who has called is told.
// spec: test_threads.run_in_trio_thread_ki
#[test]
fn ctrl_c_in_a_call_from_a_thread_is_reported_to_that_thread() {
    let name = "signals::ctrl_c_in_a_call_from_a_thread_is_reported_to_that_thread";
    in_a_process_of_its_own(name, || {
        on_workers(|cx| {
            let outcome = cx.portal(|cx, portal| {
                std::thread::scope(|s| {
                    let thread = s.spawn(|| {
                        portal.run(|cx| {
                            cancel_on_ctrl_c(cx, |cx| -> std::io::Result<()> {
                                let this = rustix::process::getpid();
                                rustix::process::kill_process(this, rustix::process::Signal::INT)?;
                                Ok(cx.sleep_forever()?)
                            })
                        })
                    });
                    cx.blocking(|| thread.join().unwrap()).unwrap()
                })
            });
            assert!(matches!(outcome, Ok(Ok(None))), "{outcome:?}");
            // Nobody else has heard of it.
            cx.checkpoint().unwrap();
        });
    });
}

// spec: test_subprocess.signals
#[test]
fn a_program_sends_signals_to_its_parent() {
    in_a_process_of_its_own("signals::a_program_sends_signals_to_its_parent", || {
        on_workers(|cx| {
            let mut signals = Signals::new(&[Signal::HANGUP, Signal::CHILD]).unwrap();
            assert!(sh("kill -HUP $PPID").status(cx).unwrap().success());
            let mut seen = [signals.wait(cx).unwrap(), signals.wait(cx).unwrap()];
            seen.sort();
            assert_eq!(seen, [Signal::HANGUP, Signal::CHILD]);
            // Programs begin with the defaults: what is caught here ends them.
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
            child.process().signal(Signal::HANGUP).unwrap();
            let status = child.process().wait(cx).unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGHUP));
            child.stdin = None;
            while signals.try_wait().is_some() {}
        });
    });
}

// spec: test_subprocess.waitid_eintr
#[test]
fn waiting_for_a_program_goes_on_while_signals_come() {
    in_a_process_of_its_own("signals::waiting_for_a_program_goes_on_while_signals_come", || {
        let _handler = handler_for(Signal::USER1);
        conbrio::Builder::new()
            .workers(1)
            .run(|cx| {
                let thread = rustix::process::getpid();
                let ends = std::sync::atomic::AtomicBool::new(false);
                std::thread::scope(|s| {
                    s.spawn(|| {
                        while !ends.load(SeqCst) {
                            rustix::process::kill_process(thread, rustix::process::Signal::USR1)
                                .unwrap();
                        }
                    });
                    for _ in 0..50 {
                        assert_eq!(sh("exit 5").status(cx).unwrap().code(), Some(5));
                        // Dropping blocks until it is reaped, whatever interrupts that.
                        drop(Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap());
                    }
                    ends.store(true, SeqCst);
                });
            })
            .unwrap();
    });
}
