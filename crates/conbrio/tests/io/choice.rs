//! Which reactor a runtime has: asked for by the program, by the environment, or by nobody; and what
//! happens where it cannot be had.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output};

use conbrio::{Builder, Reactor};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{cancel_when_blocked, in_a_process_of_its_own, listener, reactors};

#[test]
fn the_program_chooses_and_is_told_what_it_has() {
    for reactor in reactors() {
        let info = Builder::new().workers(2).reactor(reactor).run(|cx| cx.runtime()).unwrap();
        let name = if reactor == Reactor::Uring { "uring" } else { "epoll" };
        assert_eq!(info.reactor, name);
        assert!(info.reactor_reason.starts_with("it was asked for"), "{}", info.reactor_reason);
    }
}

/// This test again, as another program with another environment.
fn elsewhere(name: &str, reactor: &str, room: Option<u64>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("CONBRIO_REACTOR", reactor)
        .env("CONBRIO_TEST_CHOICE", "1");
    if let Some(room) = room {
        command.env("CONBRIO_TEST_ROOM", room.to_string());
    }
    command.output().unwrap()
}

/// In that other program: prints what came of it.
fn report() {
    if let Ok(room) = std::env::var("CONBRIO_TEST_ROOM") {
        let room: u64 = room.parse().unwrap();
        let lowest_free = std::fs::File::open("/dev/null").unwrap();
        let floor = std::os::fd::AsRawFd::as_raw_fd(&lowest_free) as u64;
        drop(lowest_free);
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(floor + room), maximum };
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    match Builder::new().workers(1).run(|cx| cx.runtime()) {
        Ok(info) => println!("on {}: {}", info.reactor, info.reactor_reason),
        Err(error) => println!("error: {error}"),
    }
}

#[test]
fn the_environment_chooses_where_the_program_does_not() {
    if std::env::var_os("CONBRIO_TEST_CHOICE").is_some() {
        return report();
    }
    let name = "choice::the_environment_chooses_where_the_program_does_not";
    let said = |reactor, room| {
        let output = elsewhere(name, reactor, room);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    assert!(said("epoll", None).0.contains("on epoll: it was asked for"));
    assert!(said("auto", None).0.contains("on epoll: it is preferred"));
    let (out, _) = said("kqueue", None);
    assert!(out.contains("none of `auto`, `epoll`, `uring`, `prefer-uring`"), "{out}");
    // Two more fds are enough for epoll, and not for a ring and its trial.
    let (out, errors) = said("uring", Some(2));
    assert!(out.contains("error: cannot make the reactor"), "{out}");
    assert!(out.contains("io_uring"), "{out}\n{errors}");
    let (out, errors) = said("prefer-uring", Some(2));
    assert!(out.contains("on epoll: io_uring cannot be used: "), "{out}");
    let lines = errors.lines().filter(|line| line.starts_with("conbrio: "));
    let lines: Vec<_> = lines.collect();
    let [line] = lines[..] else { panic!("one line was to be said: {errors}") };
    assert!(line.contains("prefer-uring has led to epoll"), "{line}");
    if reactors().any(|reactor| reactor == Reactor::Uring) {
        assert!(said("uring", None).0.contains("on uring: it was asked for"));
        let (out, errors) = said("prefer-uring", None);
        assert!(out.contains("on uring: this machine has it"), "{out}");
        assert!(!errors.contains("conbrio: "), "{errors}");
    }
}

/// Keeps what it is told.
struct Kept(std::sync::Mutex<Vec<String>>);

impl log::Log for Kept {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }
    fn flush(&self) {}
}

static KEPT: Kept = Kept(std::sync::Mutex::new(Vec::new()));

/// What a runtime of two workers says to the logger.
fn logged(reactor: Reactor) -> Vec<String> {
    KEPT.0.lock().unwrap().clear();
    Builder::new().workers(2).reactor(reactor).run(|_| ()).unwrap();
    std::mem::take(&mut *KEPT.0.lock().unwrap())
}

#[test]
fn the_logger_hears_once_of_a_wish_that_is_not_met() {
    in_a_process_of_its_own("choice::the_logger_hears_once_of_a_wish_that_is_not_met", || {
        log::set_logger(&KEPT).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
        let lines = logged(Reactor::Epoll);
        let [line] = &lines[..] else { panic!("one line was to be said: {lines:?}") };
        let start = "DEBUG conbrio::run::reactor: the reactor is epoll: it was asked for; ";
        assert!(line.starts_with(start), "{line}");
        // Too few fds for two rings and their trials, and enough for all else.
        let old = getrlimit(Resource::Nofile);
        let lowest_free = std::fs::File::open("/dev/null").unwrap();
        let floor = std::os::fd::AsRawFd::as_raw_fd(&lowest_free) as u64;
        drop(lowest_free);
        setrlimit(Resource::Nofile, Rlimit { current: Some(floor + 4), maximum: old.maximum })
            .unwrap();
        let lines = logged(Reactor::PreferUring);
        setrlimit(Resource::Nofile, old).unwrap();
        let warnings: Vec<_> = lines.iter().filter(|line| line.starts_with("WARN ")).collect();
        let [line] = warnings[..] else { panic!("one warning was to be said: {lines:?}") };
        assert!(line.contains("prefer-uring has led to epoll"), "{line}");
        if reactors().any(|reactor| reactor == Reactor::Uring) {
            assert!(line.contains("raise the limit of open files, `ulimit -n`"), "{line}");
            let lines = logged(Reactor::PreferUring);
            assert!(lines.iter().all(|line| line.starts_with("DEBUG ")), "{lines:?}");
            assert!(lines[0].contains("the reactor is uring: this machine has it"), "{lines:?}");
        }
    });
}

#[test]
fn sizes_of_rings_that_are_none_are_refused() {
    if std::env::var_os("CONBRIO_TEST_CHOICE").is_some() {
        return report();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "choice::sizes_of_rings_that_are_none_are_refused", "--nocapture"])
        .env("CONBRIO_RING", "many")
        .env("CONBRIO_TEST_CHOICE", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("\"many\" is not `entries,buffers,batch`"), "{said}");
}

/// The peer ends its direction while we wait for room: the writer sleeps on, and its cancellation ends.
#[test]
fn a_writer_whose_peer_has_half_closed_can_be_cancelled() {
    for reactor in reactors() {
        let sent = Builder::new()
            .workers(1)
            .reactor(reactor)
            .run(|cx| {
                let mut listener = listener(cx);
                let address = listener.local_addr().unwrap();
                let mut peer = std::net::TcpStream::connect(address).unwrap();
                let (mut ours, _) = listener.accept(cx).unwrap();
                peer.write_all(b"request").unwrap();
                peer.shutdown(std::net::Shutdown::Write).unwrap();
                let data = vec![1; 64 << 20];
                let error = cancel_when_blocked(cx, |cx| ours.write_all(cx, &data));
                let sent = error.done();
                drop(ours);
                let mut all = Vec::new();
                // What was not read when we closed may have been taken back with a reset.
                let _ = peer.read_to_end(&mut all);
                assert!(all.len() as u64 <= sent);
                sent
            })
            .unwrap();
        assert!(sent > 0);
    }
}
