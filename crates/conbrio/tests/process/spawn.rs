//! Starting programs, talking to them, waiting for them, and signals to them.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::io::Read;
use conbrio::process::{Command, Stdio};
use conbrio::signal::Signal;
use conbrio::testing;

use crate::support::{
    assert_reaped, cancel_when_blocked, in_a_process_of_its_own, line, on_workers, pattern, sh,
    wait_unreaped,
};

// spec: test_subprocess.basic
#[test]
fn a_program_ends_with_its_code() {
    on_workers(|cx| {
        for (program, code) in [("true", 0), ("false", 1)] {
            let mut child = Command::new(program).spawn(cx).unwrap();
            let id = child.id();
            assert!(id > 1);
            assert!(format!("{child:?}").contains(&format!("program: \"{program}\", id: {id}")));
            let status = child.wait(cx).unwrap();
            assert_eq!(status.code(), Some(code));
            assert_reaped(id);
            let text = format!("{child:?}");
            assert!(text.contains(&format!("exit status: {code}")), "{text}");
            // Again and again.
            assert_eq!(child.wait(cx).unwrap(), status);
            assert_eq!(child.process().try_wait().unwrap(), Some(status));
        }
    });
}

// spec: test_subprocess.auto_update_returncode
#[test]
fn the_status_is_seen_without_waiting() {
    on_workers(|cx| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
        assert_eq!(child.process().try_wait().unwrap(), None);
        child.stdin = None;
        wait_unreaped(child.process());
        assert_eq!(child.process().try_wait().unwrap().unwrap().code(), Some(0));
        assert_reaped(child.id());
    });
}

// spec: test_subprocess.multi_wait
#[test]
fn several_tasks_wait_and_one_may_give_up() {
    on_workers(|cx| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
        let stdin = child.stdin.take();
        let process = child.process();
        let _ = cancel_when_blocked(cx, |cx| process.wait(cx));
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let mut waiting: Vec<_> = (0..3).map(|_| n.spawn(|cx| Ok(process.wait(cx)?))).collect();
            let mut tired = n.spawn(|cx| Ok(process.wait(cx)?));
            testing::settle(cx, crate::support::CUSHION)?;
            tired.cancel();
            assert!(tired.join(cx).is_err());
            drop(stdin);
            for task in &mut waiting {
                assert!(task.join(cx)?.success());
            }
            Ok(())
        })
        .unwrap();
    });
}

const REVERSE: &str = "tee /dev/fd/3 3>&2 | rev";

// spec: test_subprocess.pipes
#[test]
fn three_streams_at_once() {
    on_workers(|cx| {
        let text: Vec<u8> = pattern(200_000)
            .iter()
            .map(|byte| if byte % 50 == 0 { b'\n' } else { b'a' + byte % 26 })
            .collect();
        let piped = Stdio::piped;
        let mut command = sh(REVERSE);
        command.stdin(piped()).stdout(piped()).stderr(piped());
        let mut child = command.spawn(cx).unwrap();
        let (mut to, mut out, mut err) = (
            child.stdin.take().unwrap(),
            child.stdout.take().unwrap(),
            child.stderr.take().unwrap(),
        );
        let (mut echoed, mut reversed) = (Vec::new(), Vec::new());
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                to.write_all(cx, &text)?;
                drop(to);
                Ok(())
            });
            n.spawn(|cx| Ok(err.read_to_end(cx, &mut echoed).map(drop)?));
            out.read_to_end(cx, &mut reversed)?;
            Ok(())
        })
        .unwrap();
        assert!(child.wait(cx).unwrap().success());
        assert!(echoed == text, "what was echoed is not what was written");
        let lines = |bytes: &[u8]| {
            bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let mut turned = lines(&text);
        turned.iter_mut().for_each(|line| line.reverse());
        // The last line has no end, and `rev` does not give it one, or does.
        assert!(lines(&reversed)[..turned.len()] == turned, "what was reversed is not the reverse");
    });
}

// spec: test_subprocess.interactive
#[test]
fn a_dialogue() {
    on_workers(|cx| {
        let mut command = sh("while read number; do echo $((number * 2)); done; echo bye; exit 9");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn(cx).unwrap();
        let mut from = child.stdout.take().unwrap();
        for number in [1, 21, 500] {
            let question = format!("{number}\n");
            child.stdin.as_mut().unwrap().write_all(cx, question.as_bytes()).unwrap();
            assert_eq!(line(cx, &mut from).unwrap(), (2 * number).to_string());
        }
        child.stdin = None;
        let mut rest = String::new();
        from.read_to_string(cx, &mut rest).unwrap();
        assert_eq!(rest, "bye\n");
        assert_eq!(child.wait(cx).unwrap().code(), Some(9));
    });
}

// spec: test_subprocess.signals
#[test]
fn signals_end_a_program() {
    on_workers(|cx| {
        for signal in [Signal::KILL, Signal::TERMINATE, Signal::USER1] {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
            let process = child.process();
            match signal {
                Signal::KILL => process.kill().unwrap(),
                Signal::TERMINATE => process.terminate().unwrap(),
                signal => process.signal(signal).unwrap(),
            }
            // Its input is open, so that nothing else ends it.
            let status = process.wait(cx).unwrap();
            assert_eq!((status.signal(), status.code()), (Some(signal.as_raw()), None));
            // It is no more: no effect, and no error.
            process.kill().unwrap();
            process.signal_group(Signal::HANGUP).unwrap();
            child.stdin = None;
        }
        let child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
        let error = child.process().signal(Signal::from_raw(999)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("send signal 999 to `cat`"), "{error}");
    });
}

// spec: test_subprocess.errors
#[test]
fn what_cannot_be_started_is_named() {
    on_workers(|cx| {
        let missing = Command::new("no-such-program-here").spawn(cx).unwrap_err();
        let missing = missing.into_failed().unwrap();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().starts_with("start `no-such-program-here`: "), "{missing}");
        let refused = Command::new("/etc/passwd").output(cx).unwrap_err().into_failed().unwrap();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        let mut command = Command::new("true");
        command.current_dir("/no/such/directory").process_group(0);
        let lost = command.status(cx).unwrap_err().into_failed().unwrap();
        assert_eq!(lost.kind(), ErrorKind::NotFound);
    });
    let refused =
        testing::run(|cx| Command::new("true").status(cx).unwrap_err().into_failed().unwrap());
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

// spec: test_subprocess.run, test_subprocess.errors
#[test]
fn contradictions_are_refused_at_the_callers_line() {
    conbrio::run(|cx| {
        let mut both_inputs = Command::new("cat");
        both_inputs.input("x").stdin(Stdio::null());
        let mut both_errors = Command::new("cat");
        both_errors.stderr_to_stdout().stderr(Stdio::null());
        for mut command in [both_inputs, both_errors] {
            let tried = catch_unwind(AssertUnwindSafe(|| command.output(cx).map(drop)));
            let message = *tried.unwrap_err().downcast::<&str>().unwrap();
            assert!(message.contains("set one of them"), "{message}");
        }
        let mut fed = Command::new("cat");
        fed.input("x");
        let tried = catch_unwind(AssertUnwindSafe(|| fed.spawn(cx).map(drop)));
        assert!(tried.unwrap_err().downcast::<&str>().unwrap().contains("Stdio::piped()"));
    });
}

#[test]
fn arguments_environment_and_directory_reach_it() {
    on_workers(|cx| {
        let mut command = Command::new("sh");
        command.arg("-c").args(["echo \"$0 $ONE $TWO ${HOME-none}\"; pwd", "name"]);
        command.env("ONE", "1").envs([("TWO", "2"), ("THREE", "3")]).env_remove("HOME");
        command.current_dir("/");
        assert!(format!("{command:?}").contains("\"name\""));
        let said = command.output(cx).unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "name 1 2 none\n/\n");
        let mut command = Command::new("/usr/bin/env");
        command.env_clear().env("ONLY", "this");
        assert_eq!(command.output(cx).unwrap().stdout, b"ONLY=this\n");
        // What is not here is there.
        let mut command = sh("echo $0");
        std::os::unix::process::CommandExt::arg0(command.as_std_mut(), "other");
        assert!(command.status(cx).unwrap().success());
    });
}

// A program that ends while its status goes to nobody, as `SIGCHLD` is ignored.
// spec: test_subprocess.wait_reapable_fails
#[test]
fn a_status_that_the_system_throws_away() {
    in_a_process_of_its_own("spawn::a_status_that_the_system_throws_away", || {
        // A shell that ignores it runs this test again: an action that ignores is inherited.
        if std::env::var("CONBRIO_TEST_IGNORED").is_err() {
            let again = format!(
                "trap '' CHLD; CONBRIO_TEST_IGNORED=1 exec '{}' --exact {} --nocapture",
                std::env::current_exe().unwrap().display(),
                "spawn::a_status_that_the_system_throws_away"
            );
            assert!(
                std::process::Command::new("sh").args(["-c", &again]).status().unwrap().success()
            );
            return;
        }
        on_workers(|cx| {
            for code in [0, 3] {
                let mut command = sh(&format!("cat; exit {code}"));
                let mut child = command.stdin(Stdio::piped()).spawn(cx).unwrap();
                assert_eq!(child.process().try_wait().unwrap(), None);
                match child.wait(cx) {
                    Ok(status) => assert_eq!(status.code(), Some(code)),
                    // Kernels before 6.15 have forgotten it.
                    Err(error) => {
                        let error = error.into_failed().unwrap();
                        assert_eq!(error.kind(), ErrorKind::NotFound);
                        assert!(error.to_string().contains("SIGCHLD"), "{error}");
                    }
                }
                // A signal to what is no more goes nowhere.
                child.process().kill().unwrap();
            }
        });
    });
}

// spec: test_subprocess.subprocess_pidfd_unnotified
#[test]
fn a_waiter_wakes_if_somebody_else_reaps() {
    in_a_process_of_its_own("spawn::a_waiter_wakes_if_somebody_else_reaps", || {
        on_workers(|cx| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
            let stdin = child.stdin.take();
            cx.nursery(|cx, n| -> std::io::Result<()> {
                let process = child.process();
                let mut waiting = n.spawn(|cx| Ok(process.wait(cx).map_err(std::io::Error::from)));
                testing::settle(cx, crate::support::CUSHION)?;
                // Blocks the worker of this task, and with one worker the waiter, so that this one is first.
                drop(stdin);
                let any = rustix::process::WaitIdOptions::EXITED;
                let _ = rustix::process::waitid(rustix::process::WaitId::All, any);
                match waiting.join(cx)? {
                    Ok(status) => assert!(status.success()),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
                }
                Ok(())
            })
            .unwrap();
        });
    });
}

#[test]
fn a_dropped_child_is_killed_and_reaped() {
    on_workers(|cx| {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
        let id = child.id();
        assert!(crate::support::exists(id));
        drop(child);
        assert_reaped(id);
        // Also by a task that unwinds.
        let mut id = 0;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let child = Command::new("cat").stdin(Stdio::piped()).spawn(cx).unwrap();
            id = child.id();
            panic!("on purpose");
        }));
        assert!(unwound.is_err());
        assert_reaped(id);
    });
}
