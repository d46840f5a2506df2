//! Running programs to their end, with all that they read and write.

use std::io::ErrorKind;

use conbrio::io::{self, Read};
use conbrio::prelude::*;
use conbrio::process::{Command, ExitError, Stdio};
use conbrio::{NurseryError, StartError};

use crate::support::{on_workers, pattern, sh};

// spec: test_subprocess.run
#[test]
fn much_goes_in_and_comes_out() {
    on_workers(|cx| {
        let data = pattern(256 * 1024);
        let output = Command::new("cat").input(data.clone()).output(cx).unwrap();
        assert!(output.status.success());
        assert!(output.stdout == data && output.stderr.is_empty());
        let output = sh("cat >&2").input(data.clone()).output(cx).unwrap();
        assert!(output.stderr == data && output.stdout.is_empty());
        let output = sh("tee /dev/stderr").input(data.clone()).output(cx).unwrap();
        assert!(output.stderr == data && output.stdout == data);
        // No input is an empty one.
        let output = Command::new("cat").output(cx).unwrap();
        assert!(output.status.success() && output.stdout.is_empty());
        // What is not asked for is not collected.
        let output = sh("echo out; echo err >&2").stderr(Stdio::null()).output(cx).unwrap();
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b""[..]));
        // The same command again.
        let mut command = sh("read line; echo \"$line\"; exit 4");
        command.input("again\n");
        for _ in 0..2 {
            let output = command.output(cx).unwrap();
            assert_eq!((output.status.code(), &output.stdout[..]), (Some(4), &b"again\n"[..]));
            assert_eq!(command.status(cx).unwrap().code(), Some(4));
        }
    });
}

// spec: test_subprocess.run_check
#[test]
fn a_failure_has_name_status_and_output() {
    on_workers(|cx| {
        let mut command = sh("echo half; echo 'first line' >&2; echo 'no more fruit' >&2; exit 1");
        let output = command.output(cx).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error: ExitError = output.check().unwrap_err();
        assert_eq!((error.program(), error.status().code()), ("sh", Some(1)));
        assert_eq!(error.output().stdout, b"half\n");
        assert_eq!(error.output().stderr, b"first line\nno more fruit\n");
        assert_eq!(error.to_string(), "run `sh`: exit status: 1: first line\nno more fruit");
        let error = std::io::Error::from(error);
        assert!(error.get_ref().unwrap().is::<ExitError>());
        // Without words, by a signal, with too many words.
        let said = |script: &str, cx: &mut Cx| {
            sh(script).output(cx).unwrap().check().unwrap_err().to_string()
        };
        assert_eq!(said("exit 2", cx), "run `sh`: exit status: 2");
        assert!(said("kill -TERM $$", cx).starts_with("run `sh`: signal: 15"));
        let long = said("yes words | head -c 100000 >&2; echo end >&2; exit 1", cx);
        assert!(long.len() < 1200 && long.contains(": ...") && long.ends_with("end"), "{long}");
        assert!(sh("exit 0").output(cx).unwrap().check().is_ok());
    });
}

// spec: test_subprocess.run_with_broken_pipe
#[test]
fn a_program_need_not_read_its_input() {
    on_workers(|cx| {
        for script in ["exec <&-; echo closed", "echo closed", "head -c 3 >/dev/null; echo closed"]
        {
            let output = sh(script).input(pattern(1 << 20)).output(cx).unwrap();
            assert!(output.status.success());
            assert_eq!(output.stdout, b"closed\n");
        }
    });
}

// spec: test_subprocess.stderr_stdout
#[test]
fn errors_may_go_where_the_output_goes() {
    on_workers(|cx| {
        let script = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
        let output = sh(script).stderr_to_stdout().output(cx).unwrap();
        assert_eq!(output.stdout, b"1\n2\n3\n4\n");
        assert!(output.stderr.is_empty());
        // Into a descriptor of one's own.
        let (mut reader, writer) = io::pipe().unwrap();
        let mut command = sh(script);
        command.stdout(writer).stderr_to_stdout();
        assert!(command.output(cx).unwrap().stdout.is_empty());
        // The command holds the pipe as long as it is there.
        drop(command);
        let mut text = String::new();
        reader.read_to_string(cx, &mut text).unwrap();
        assert_eq!(text, "1\n2\n3\n4\n");
        // Into nothing, and to where this process writes.
        let mut nowhere = sh("echo x; test $(readlink /proc/self/fd/2) = /dev/null");
        assert!(nowhere.stdout(Stdio::null()).stderr_to_stdout().status(cx).unwrap().success());
        let own = std::fs::read_link("/proc/self/fd/1").unwrap();
        let mut same = sh("test \"$(readlink /proc/self/fd/2)\" = \"$OWN\"");
        assert!(same.env("OWN", own).stderr_to_stdout().status(cx).unwrap().success());
    });
}

#[test]
fn the_end_of_a_pipe_may_be_given_to_a_program() {
    on_workers(|cx| {
        // One program into the other.
        let (reader, writer) = io::pipe().unwrap();
        let mut sorts = Command::new("sort");
        sorts.stdin(reader);
        let mut says = sh("echo pear; echo apple");
        says.stdout(writer);
        let sorted = cx.nursery(|cx, n| -> std::io::Result<_> {
            n.spawn(move |cx| {
                assert!(says.status(cx)?.success());
                Ok(())
            });
            Ok(sorts.output(cx)?)
        });
        assert_eq!(sorted.unwrap().stdout, b"apple\npear\n");
    });
}

#[test]
fn too_much_output_ends_the_program() {
    on_workers(|cx| {
        let error = Command::new("yes").output_limit(100_000).output(cx).unwrap_err();
        let error = error.into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("`yes`") && error.to_string().contains("100000 bytes"));
        let error = sh("exec yes >&2").output_limit(0).output(cx).unwrap_err();
        assert_eq!(error.into_failed().unwrap().kind(), ErrorKind::FileTooLarge);
        // As much as it may.
        let output = sh("head -c 5000 /dev/zero").output_limit(5000).output(cx).unwrap();
        assert_eq!(output.stdout.len(), 5000);
    });
}

/// Begins a program and says that it has begun, and fails if it ends badly.
fn service(cx: &mut Cx, started: conbrio::Started<'_, u32, std::io::Error>) -> std::io::Result<()> {
    let mut command = sh("echo ready; read line; echo 'out of fruit' >&2; exit 7");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (errors, status) = command.run(cx, |cx, child| {
        crate::support::line(cx, child.stdout.as_mut().unwrap())?;
        started.ready(child.id());
        child.stdin = None;
        let mut errors = String::new();
        child.stderr.as_mut().unwrap().read_to_string(cx, &mut errors)?;
        Ok::<_, std::io::Error>(errors)
    })?;
    match status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("{status}: {errors}"))),
    }
}

// spec: test_subprocess.run_process_background_fail
#[test]
fn a_program_in_the_background_fails_its_nursery() {
    on_workers(|cx| {
        let outcome = cx.nursery(|cx, n| -> std::io::Result<()> {
            let id = n.start(cx, service).map_err(|error| match error {
                StartError::Failed(error) => error,
                other => panic!("{other}"),
            })?;
            assert!(id > 1);
            Ok(cx.sleep_forever()?)
        });
        let Err(NurseryError::Failed(errors)) = outcome else { panic!("{outcome:?}") };
        let text = errors.into_first().to_string();
        assert!(text.contains("exit status: 7: out of fruit"), "{text}");
        // By the error of `check`.
        let outcome = cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| Ok(sh("exit 9").output(cx)?.check().map(drop)?));
            Ok(cx.sleep_forever()?)
        });
        let Err(NurseryError::Failed(errors)) = outcome else { panic!("{outcome:?}") };
        let error = errors.into_first();
        let error = error.get_ref().unwrap().downcast_ref::<ExitError>().unwrap();
        assert_eq!(error.status().code(), Some(9));
    });
}
