//! How programs end that should not go on: by deadlines, failures, panics.

use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::process::{Child, Command, Stdio};
use conbrio::signal::Signal;
use conbrio::testing::MockClock;
use conbrio::{Builder, OrTimedOut};

use crate::support::{LONG, assert_reaped, cancelled_before, line, on_workers, sh};

/// Runs `command`, waits until it says something, and cancels it then. Its id.
fn cancel_after_a_word(cx: &mut Cx, command: &mut Command) -> (u32, std::io::Result<Option<()>>) {
    let mut id = 0;
    let outcome = cx.cancel_scope(|cx, scope| -> std::io::Result<()> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.run(cx, |cx, child| -> std::io::Result<()> {
            id = child.id();
            line(cx, child.stdout.as_mut().unwrap())?;
            scope.cancel();
            Ok(cx.sleep_forever()?)
        })?;
        Ok(())
    });
    (id, outcome)
}

#[test]
fn a_cancelled_program_is_asked_to_end() {
    on_workers(|cx| {
        let dir = std::env::temp_dir();
        let told = dir.join(format!("conbrio-told-{}", std::process::id()));
        let script =
            format!("trap 'echo told > {}; exit 0' TERM; echo up; read line", told.display());
        let (id, outcome) = cancel_after_a_word(cx, &mut sh(&script));
        assert!(outcome.unwrap().is_none(), "the scope takes its cancellation back");
        assert_reaped(id);
        assert_eq!(std::fs::read_to_string(&told).unwrap(), "told\n");
        std::fs::remove_file(told).unwrap();
    });
}

/// A clock that jumps as soon as all tasks wait, also for real programs: those must not need time.
fn in_jumping_time(test: impl Fn(&mut Cx) + Send + Sync) {
    Builder::new()
        .workers(1)
        .clock(MockClock::new().autojump(Duration::ZERO))
        .run(|cx| test(cx))
        .unwrap();
}

/// What a program would read next from its standard input, when it has read all that is there: `WouldBlock`,
/// or the end.
fn end_of_input(id: u32) -> std::io::Result<usize> {
    let input = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(format!("/proc/{id}/fd/0"));
    let mut input = input?;
    let mut buf = [0; 4096];
    loop {
        match input.read(&mut buf) {
            Ok(length) if length > 0 => {}
            end => return end,
        }
    }
}

/// A program must not take half of its input for all of it.
#[test]
fn a_program_is_asked_to_end_before_its_input_ends() {
    in_jumping_time(|cx| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sleeper = || {
            let seen = Arc::clone(&seen);
            let mut command = Command::new("sleep");
            command.arg("1000").on_cancel(move |_cx, process| {
                let end = end_of_input(process.id()).map_err(|error| error.kind());
                seen.lock().unwrap().push(end);
                process.kill()
            });
            command
        };
        let half = vec![b'x'; 1 << 20];
        let outcome = cx.move_on_after(LONG, |cx| sleeper().input(half).output(cx));
        assert!(outcome.unwrap().is_none());
        let outcome = cx.move_on_after(LONG, |cx| -> std::io::Result<()> {
            sleeper()
                .stdin(Stdio::piped())
                .run(cx, |cx, _| -> std::io::Result<()> { Ok(cx.sleep_forever()?) })?;
            Ok(())
        });
        assert!(outcome.unwrap().is_none());
        assert_eq!(*seen.lock().unwrap(), [Err(ErrorKind::WouldBlock); 2]);
    });
}

// spec: test_subprocess.warn_on_cancel_SIGKILL_escalation
#[test]
fn what_does_not_listen_is_killed_after_the_grace() {
    in_jumping_time(|cx| {
        for seconds in [5, 3600] {
            let mut stubborn =
                sh("trap '' TERM; echo up; while read line; do :; done; exec sleep 1000000");
            if seconds != 5 {
                stubborn.grace(Duration::from_secs(seconds));
            }
            let start = cx.now();
            let (id, outcome) = cancel_after_a_word(cx, &mut stubborn);
            assert!(outcome.unwrap().is_none());
            assert_eq!((cx.now() - start).as_secs(), seconds);
            assert_reaped(id);
        }
    });
}

// spec: test_subprocess.warn_on_failed_cancel_terminate
#[test]
fn what_is_stopped_is_killed_after_the_grace() {
    in_jumping_time(|cx| {
        let (id, outcome) = cancel_after_a_word(cx, &mut sh("echo up; kill -STOP $$; echo on"));
        assert!(outcome.unwrap().is_none());
        assert_reaped(id);
    });
}

#[test]
fn a_deadline_ends_output_and_status() {
    in_jumping_time(|cx| {
        let limit = Duration::from_secs(10);
        let start = cx.now();
        let outcome = cx.fail_after(limit, |cx| Command::new("sleep").arg("1000000").output(cx));
        assert!(matches!(outcome, Err(OrTimedOut::TimedOut(_))), "{outcome:?}");
        assert!(cx.now() - start >= limit);
        let outcome = cx.move_on_after(limit, |cx| Command::new("sleep").arg("1000000").status(cx));
        assert!(outcome.unwrap().is_none());
    });
}

#[test]
fn a_program_that_is_cancelled_before_is_not_started() {
    on_workers(|cx| {
        let _ = cancelled_before(cx, |cx| Command::new("no-such-program-here").spawn(cx));
        let _ = cancelled_before(cx, |cx| Command::new("no-such-program-here").output(cx));
        let _ = cancelled_before(cx, |cx| Command::new("no-such-program-here").status(cx));
        let mut was_called = false;
        let _ = cancelled_before(cx, |cx| {
            Command::new("cat").run(cx, |_, _| -> std::io::Result<()> {
                was_called = true;
                Ok(())
            })
        });
        assert!(!was_called);
    });
}

/// `cat`, which waits for its input.
fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

#[test]
fn a_body_that_fails_or_panics_ends_the_program() {
    on_workers(|cx| {
        let id = AtomicU32::new(0);
        let failed = cat().run(cx, |_, child| -> std::io::Result<()> {
            id.store(child.id(), SeqCst);
            Err(ErrorKind::InvalidData.into())
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_reaped(id.load(SeqCst));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            cat().run(cx, |_, child| -> std::io::Result<()> {
                id.store(child.id(), SeqCst);
                panic!("in the body")
            })
        }));
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "in the body");
        assert_reaped(id.load(SeqCst));
        // The task can go on waiting.
        cx.sleep(Duration::from_millis(1)).unwrap();
        // One that succeeds lets the program end by itself, with its streams closed.
        let (value, status) = cat()
            .run(cx, |_, child| {
                id.store(child.id(), SeqCst);
                Ok::<_, std::io::Error>(5)
            })
            .unwrap();
        assert_eq!((value, status.code()), (5, Some(0)));
        assert_reaped(id.load(SeqCst));
    });
}

#[test]
fn a_process_group_ends_as_a_whole() {
    on_workers(|cx| {
        // What the shell has started holds the pipe open as long as it lives.
        let (mut reader, writer) = conbrio::io::pipe().unwrap();
        let mut command = sh("sleep 1000000 & echo up; wait");
        command.process_group(0).stderr(writer);
        let (id, outcome) = cancel_after_a_word(cx, &mut command);
        assert!(outcome.unwrap().is_none());
        assert_reaped(id);
        drop(command);
        assert_eq!(reader.read(cx, &mut [0]).unwrap(), 0);
        // Also when it is dropped.
        let (mut reader, writer) = conbrio::io::pipe().unwrap();
        let mut command = sh("sleep 1000000 & echo up; wait");
        command.process_group(0).stderr(writer).stdout(Stdio::piped());
        let mut child = command.spawn(cx).unwrap();
        line(cx, child.stdout.as_mut().unwrap()).unwrap();
        drop((child, command));
        assert_eq!(reader.read(cx, &mut [0]).unwrap(), 0);
    });
}

/// A command whose shell leads a process group, and then leaves it for that of this process.
fn leaves_its_group() -> Command {
    // The standard library has no setpgid(2), and shells none without job control. Perl is part of every
    // system that has `git`; its `setpgrp` is that call.
    let script = "setpgrp(0, getpgrp(getppid())) or die $!; $| = 1; print qq(up\n); sleep 1000000";
    let mut command = Command::new("perl");
    command.args(["-e", script]).process_group(0).stdout(Stdio::piped());
    command
}

#[test]
fn a_leader_that_has_left_its_group_ends_all_the_same() {
    on_workers(|cx| {
        // By a cancellation, and its signal to end.
        let (id, outcome) = cancel_after_a_word(cx, &mut leaves_its_group());
        assert!(outcome.unwrap().is_none());
        assert_reaped(id);
        // By being dropped.
        let mut child = leaves_its_group().spawn(cx).unwrap();
        line(cx, child.stdout.as_mut().unwrap()).unwrap();
        let id = child.id();
        drop(child);
        assert_reaped(id);
    });
}

// What a program has left behind with its streams is not waited for when it is cancelled.
#[test]
fn nobody_waits_for_those_that_are_left_behind() {
    on_workers(|cx| {
        let (input, keeps_it_alive) = conbrio::io::pipe().unwrap();
        let (mut says, word) = conbrio::io::pipe().unwrap();
        let mut command = sh("exec 3<&0; cat <&3 & echo up >&2; wait");
        command.stdin(input).stderr(word);
        let outcome = cx.nursery(|cx, n| -> std::io::Result<()> {
            let mut running = n.spawn(|cx| Ok(command.output(cx)?));
            line(cx, &mut says)?;
            running.cancel();
            assert!(running.join(cx).is_err());
            Ok(())
        });
        outcome.unwrap();
        drop(keeps_it_alive);
    });
}

// spec: test_subprocess.custom_deliver_cancel
#[test]
fn a_way_of_ones_own_to_end_a_program() {
    on_workers(|cx| {
        let (was_called, was_cancelled) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (called, cancelled) = (Arc::clone(&was_called), Arc::clone(&was_cancelled));
        let mut command = sh("trap 'exit 0' USR1; echo up; while :; do read line; done");
        command.on_cancel(move |cx, process| {
            called.store(true, SeqCst);
            // It is shielded: it may wait.
            cx.checkpoint()?;
            process.signal(Signal::USER1)?;
            let waited = cx.sleep_forever();
            cancelled.store(waited.is_err(), SeqCst);
            Ok(waited?)
        });
        let (id, outcome) = cancel_after_a_word(cx, &mut command);
        assert!(outcome.unwrap().is_none());
        assert!(was_called.load(SeqCst) && was_cancelled.load(SeqCst));
        assert_reaped(id);
        // One that returns early: the program is waited for.
        let mut command = sh("trap 'echo down; exit 0' USR1; echo up; read line");
        command.on_cancel(|_, process| process.signal(Signal::USER1));
        let (id, outcome) = cancel_after_a_word(cx, &mut command);
        assert!(outcome.unwrap().is_none());
        assert_reaped(id);
    });
}

// spec: test_subprocess.bad_deliver_cancel
#[test]
fn the_failure_of_ones_own_way_comes_out() {
    on_workers(|cx| {
        let mut command = sh("echo up; exec cat");
        command.on_cancel(|_, _| Err(std::io::Error::other("no way")));
        let (id, outcome) = cancel_after_a_word(cx, &mut command);
        assert_eq!(outcome.unwrap_err().to_string(), "no way");
        assert_reaped(id);
        let mut command = sh("echo up; exec cat");
        command.on_cancel(|_, _| panic!("no way at all"));
        let unwound = catch_unwind(AssertUnwindSafe(|| cancel_after_a_word(cx, &mut command)));
        let payload = unwound.unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "no way at all");
    });
}

// Also while other tasks use it.
#[test]
fn every_program_of_a_cancelled_nursery_is_reaped() {
    on_workers(|cx| {
        let ids = Mutex::new(Vec::new());
        let outcome = cx.nursery(|_, n| -> std::io::Result<()> {
            let ids = &ids;
            for _ in 0..20 {
                n.spawn(move |cx| {
                    cat().run(cx, |cx, child: &mut Child| {
                        let mut ids = ids.lock().unwrap();
                        ids.push(child.id());
                        let all = ids.len() == 20;
                        drop(ids);
                        if all {
                            return Err(std::io::Error::other("enough"));
                        }
                        child.stdout.as_mut().unwrap().read(cx, &mut [0])?;
                        Ok(cx.sleep(LONG)?)
                    })?;
                    Ok(())
                });
            }
            Ok(())
        });
        assert!(std::io::Error::from(outcome.unwrap_err()).to_string().contains("enough"));
        for id in ids.into_inner().unwrap() {
            assert_reaped(id);
        }
    });
}

// What is forgotten runs on and is never reaped: its id is not given to others.
#[test]
fn a_forgotten_child_keeps_its_id() {
    on_workers(|cx| {
        let mut command = Command::new("cat");
        let child = command.stdin(Stdio::piped()).spawn(cx).unwrap();
        let id = child.id();
        crate::support::wait_unreaped_after(child, |child| {
            child.process().kill().unwrap();
        });
        assert!(crate::support::exists(id), "a zombie");
    });
}

#[test]
fn a_child_that_was_killed_says_so() {
    on_workers(|cx| {
        let mut child = cat().spawn(cx).unwrap();
        child.process().kill().unwrap();
        assert_eq!(child.wait(cx).unwrap().signal(), Some(libc::SIGKILL));
    });
}
