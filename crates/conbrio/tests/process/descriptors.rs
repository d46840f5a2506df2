//! Descriptors: none leaks into programs, and none is lost here.

use std::collections::BTreeSet;

use conbrio::io;
use conbrio::lowlevel::Fd;
use conbrio::net::UdpSocket;
use conbrio::prelude::*;
use conbrio::process::{Command, Stdio};
use conbrio::signal::{Signal, Signals};

use crate::support::{cancel_when_blocked, in_a_process_of_its_own, on_workers, sh};

fn open_descriptors() -> BTreeSet<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

const LIST: [&str; 2] = ["-1", "/proc/self/fd"];

#[test]
fn no_descriptor_leaks_into_a_program() {
    in_a_process_of_its_own("descriptors::no_descriptor_leaks_into_a_program", || {
        // What a program gets without a runtime: this process may have inherited some itself.
        let before =
            std::process::Command::new("ls").args(LIST).stdin(std::process::Stdio::null()).output();
        let before = String::from_utf8(before.unwrap().stdout).unwrap();
        on_workers(|cx| {
            let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
            let udp = UdpSocket::bind(cx, "127.0.0.1:0").unwrap();
            let signals = Signals::new(&[Signal::USER1]).unwrap();
            let pipe = io::pipe().unwrap();
            let fd = Fd::new(std::io::pipe().unwrap().0).unwrap();
            let piped = Stdio::piped;
            let mut cat = Command::new("cat");
            let mut other = cat.stdin(piped()).stdout(piped()).stderr(piped()).spawn(cx).unwrap();
            let _ = cancel_when_blocked(cx, |cx| other.process().wait(cx));
            let (mut one, mut two) = (Command::new("ls"), Command::new("ls"));
            // The second way of the standard library: fork and exec instead of posix_spawn.
            let own = rustix::process::getuid().as_raw();
            std::os::unix::process::CommandExt::uid(two.process_group(0).as_std_mut(), own);
            for command in [&mut one, &mut two] {
                let listed = command.args(LIST).output(cx).unwrap();
                assert_eq!(String::from_utf8(listed.stdout).unwrap(), before);
            }
            drop((listener, stream, udp, signals, pipe, fd));
            other.stdin = None;
            assert!(other.wait(cx).unwrap().success());
        });
    });
}

// spec: test_subprocess.for_leaking_fds
#[test]
fn no_descriptor_is_lost() {
    in_a_process_of_its_own("descriptors::no_descriptor_is_lost", || {
        on_workers(|cx| {
            // The first time may open what stays, such as what threads need.
            for round in 0..3 {
                let before = open_descriptors();
                assert!(sh("cat; echo x >&2").input("y").output(cx).unwrap().status.success());
                assert!(!sh("exit 3").stderr_to_stdout().output(cx).unwrap().status.success());
                let _ = Command::new("no-such-program-here").output(cx).unwrap_err();
                let mut failing = Command::new("no-such-program-here");
                let _ = failing.stdin(Stdio::piped()).stderr_to_stdout().output(cx).unwrap_err();
                // A command that was used holds nothing, except what it was given.
                let mut used = Command::new("true");
                used.stderr_to_stdout().output(cx).unwrap();
                let _ = Command::new("yes").output_limit(1).output(cx).unwrap_err();
                let mut cat = Command::new("cat");
                let _ = cancel_when_blocked(cx, |cx| {
                    cat.stdin(Stdio::piped())
                        .run(cx, |cx, _| Ok::<_, std::io::Error>(cx.sleep_forever()?))
                });
                drop(
                    Command::new("cat")
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped())
                        .spawn(cx)
                        .unwrap(),
                );
                if round > 0 {
                    assert_eq!(open_descriptors(), before);
                }
            }
        });
    });
}

#[test]
fn no_descriptor_left_to_start_or_to_wait_with() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    in_a_process_of_its_own("descriptors::no_descriptor_left_to_start_or_to_wait_with", || {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
        on_workers(|cx| {
            assert!(sh("exit 0").output(cx).unwrap().status.success());
            let mut cat = Command::new("cat");
            let mut child = cat.stdin(Stdio::piped()).spawn(cx).unwrap();
            let mut files = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            for free in 0..12 {
                // With each number of free descriptors it works or fails, and leaves nothing behind.
                files.truncate(files.len() - usize::from(free > 0));
                let before = open_descriptors_count();
                if let Err(error) = sh("cat; echo x >&2").input("y").output(cx) {
                    let error = error.into_failed().unwrap();
                    assert_eq!(
                        error.raw_os_error().or(source_number(&error)),
                        Some(libc::EMFILE),
                        "{error}"
                    );
                }
                assert_eq!(open_descriptors_count(), before);
            }
            assert!(sh("exit 0").output(cx).unwrap().status.success());
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            let error = child.process().wait(cx).unwrap_err().into_failed().unwrap();
            assert!(error.to_string().contains("Too many open files"), "{error}");
            // What cannot be waited for is killed and reaped all the same.
            let id = child.id();
            child.stdin = None;
            drop(child);
            crate::support::assert_reaped(id);
        });
    });
}

/// Without a descriptor: how many of the first hundred are open.
fn open_descriptors_count() -> usize {
    (0..100).filter(|fd| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok()).count()
}

/// The messages say it in words.
fn source_number(error: &std::io::Error) -> Option<i32> {
    error.to_string().contains("os error 24").then_some(libc::EMFILE)
}
