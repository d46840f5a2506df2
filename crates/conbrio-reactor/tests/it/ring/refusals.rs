//! Machines that forbid io_uring, in whole or in part: each is found out before anything is in flight,
//! says why, and gets epoll.
//!
//! A seccomp filter belongs to the thread that installs it, so that each test has a thread of its own.

use std::io::{Error, Write as _};
use std::thread;

use conbrio_reactor::{Cancel, Choice, Reactor, Timeout, Token, op, os};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

ring_suite!(
    a_filter_that_forbids_rings_leads_to_epoll,
    a_filter_that_hides_rings_leads_to_epoll,
    a_filter_that_forbids_only_a_part_is_found_out_at_the_start,
    a_filter_that_comes_later_is_an_error_of_the_poll,
    a_cancellation_that_nobody_can_acknowledge_ends_the_process,
    without_fds_it_is_epoll_or_an_error,
    without_locked_memory_it_is_epoll_or_works,
);

/// From here on the calling thread gets `errno` from the system call `number`, as it does in containers.
fn forbid(number: libc::c_long, errno: i32) {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, number as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: plain calls; the kernel copies the program, which is valid.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        let result = libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter);
        assert_eq!(result, 0, "{}", Error::last_os_error());
    }
}

/// Runs on a thread where the system call fails.
fn where_forbidden(number: libc::c_long, errno: i32, test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            forbid(number, errno);
            test();
        });
        thread.join().unwrap();
    });
}

/// The reason why this thread has no ring, from the reactor that it gets instead, which works.
fn reason_and_fallback() -> String {
    let refusal = Reactor::new(Choice::Uring).unwrap_err().to_string();
    let reactor = Reactor::new(Choice::PreferUring).unwrap();
    let info = reactor.info();
    assert_eq!(info.backend, "epoll");
    let refused = info.refused.as_ref().expect("the reason");
    assert_eq!(*refused, refusal);
    assert!(info.reason.contains(refused), "{info:?}");
    use_it(&reactor);
    refusal
}

fn use_it(reactor: &Reactor) {
    let (ours, mut peer) = real_tcp_and_peer();
    let mut buffer = [0; 8];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    submit(reactor, &mut receive, Token(1)).unwrap();
    peer.write_all(b"works").unwrap();
    assert_eq!(finish_wait(reactor, &mut receive, Token(1)).unwrap(), 5);
}

fn a_filter_that_forbids_rings_leads_to_epoll(_: Make) {
    where_forbidden(libc::SYS_io_uring_setup, libc::EPERM, || {
        let said = reason_and_fallback();
        assert!(said.starts_with("set up an io_uring: ") && said.contains("seccomp"), "{said}");
    });
}

fn a_filter_that_hides_rings_leads_to_epoll(_: Make) {
    where_forbidden(libc::SYS_io_uring_setup, libc::ENOSYS, || {
        let said = reason_and_fallback();
        assert!(said.contains("built without it"), "{said}");
    });
}

fn a_filter_that_forbids_only_a_part_is_found_out_at_the_start(_: Make) {
    where_forbidden(libc::SYS_io_uring_register, libc::EPERM, || {
        let said = reason_and_fallback();
        assert!(said.starts_with("look for operations of io_uring: "), "{said}");
    });
    where_forbidden(libc::SYS_io_uring_enter, libc::EPERM, || {
        let said = reason_and_fallback();
        assert!(said.starts_with("test an io_uring: ") && said.contains("seccomp"), "{said}");
    });
}

/// Rule R6: the worker that hears it ends the process.
fn a_filter_that_comes_later_is_an_error_of_the_poll(make: Make) {
    thread::spawn(move || {
        let reactor = make();
        forbid(libc::SYS_io_uring_enter, libc::EPERM);
        let error = reactor.poll(Timeout::Never, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("enter an io_uring: "), "{error}");
    })
    .join()
    .unwrap();
}

// Rules R2, R6: the kernel cannot be asked any more whether it has let go of the buffer. Nobody goes on as if
// it had.
// spec: test_windows.forgot_to_register_with_iocp
fn a_cancellation_that_nobody_can_acknowledge_ends_the_process(make: Make) {
    const NAME: &str =
        "ring::refusals::on_a_ring::a_cancellation_that_nobody_can_acknowledge_ends_the_process";
    if !is_child() {
        let child = in_child(NAME);
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(!child.status.success(), "{child:?}");
        assert!(said.contains("a reactor was dropped with 1 waits in flight"), "{said}");
        return;
    }
    let reactor = make();
    let (ours, _peer) = real_tcp_and_peer();
    let mut buffer = [0; 8];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
    assert!(poll_now(&reactor).is_empty());
    forbid(libc::SYS_io_uring_enter, libc::EPERM);
    assert_eq!(reactor.cancel(ticket), Cancel::Pending);
    assert!(reactor.poll(Timeout::Never, &mut Vec::new()).is_err());
    assert_eq!(reactor.in_flight(), 1);
    drop(reactor);
    println!("nothing was to come after this");
}

/// Runs in a process of its own; the limits are the process's.
fn in_a_process(name: &str, test: impl FnOnce()) {
    if is_child() {
        return test();
    }
    let child = in_child(&format!("ring::refusals::on_a_ring::{name}"));
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{child:?}");
}

/// With each number of fds that are left: a ring, epoll, or an error that names what was missing.
fn without_fds_it_is_epoll_or_an_error(_: Make) {
    in_a_process("without_fds_it_is_epoll_or_an_error", || {
        let old = getrlimit(Resource::Nofile);
        let (lowest_free, _) = os::unix_pair().unwrap();
        let floor = std::os::fd::AsRawFd::as_raw_fd(&lowest_free) as u64;
        drop(lowest_free);
        let mut seen = Vec::new();
        for room in 0..6 {
            let limit = Rlimit { current: Some(floor + room), maximum: old.maximum };
            setrlimit(Resource::Nofile, limit).unwrap();
            match Reactor::new(Choice::PreferUring) {
                Ok(reactor) => {
                    let info = reactor.info();
                    let asked = Reactor::new(Choice::Uring);
                    assert!(info.backend == "uring" || asked.is_err());
                    if let Some(refused) = &info.refused {
                        assert!(refused.contains("ulimit -n"), "{refused}");
                    }
                    seen.push(info.backend);
                }
                Err(error) => {
                    assert!(error.to_string().starts_with("create an e"), "{error}");
                    seen.push("error");
                }
            }
        }
        setrlimit(Resource::Nofile, old).unwrap();
        assert_eq!(seen, ["error", "error", "epoll", "uring", "uring", "uring"]);
    });
}

/// Since 6.14 the kernel counts the memory of rings against the limit of locked memory, and always did
/// before 5.12, for those who may not lock memory at will.
fn without_locked_memory_it_is_epoll_or_works(_: Make) {
    in_a_process("without_locked_memory_it_is_epoll_or_works", || {
        setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
        if rustix::process::geteuid().is_root() {
            // SAFETY: plain calls, which take the process's rights away.
            let result = unsafe { libc::setgid(65_534) | libc::setuid(65_534) };
            assert_eq!(result, 0, "{}", Error::last_os_error());
        }
        let reactor = Reactor::new(Choice::PreferUring).unwrap();
        println!("{:?}", reactor.info());
        match &reactor.info().refused {
            Some(refused) => assert!(refused.contains("ulimit -l"), "{refused}"),
            None => assert_eq!(reactor.info().backend, "uring"),
        }
        use_it(&reactor);
    });
}
