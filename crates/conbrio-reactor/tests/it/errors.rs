//! Misuse and exhaustion are errors that say how to mend them, and nothing begins.

use std::fs::File;
use std::io::ErrorKind;

use conbrio_reactor::{Attempt, Cancel, Choice, Direction, Reactor, Source, Token, op, os};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

epoll_suite!(a_regular_file_is_not_pollable, a_refused_source_leaves_no_slot);

suite!(
    a_second_waiter_of_a_direction_is_refused,
    the_other_direction_may_be_waited_for_as_well,
    running_out_of_fds_is_an_error_everywhere,
    a_reactor_tells_what_it_is,
);

fn a_second_waiter_of_a_direction_is_refused(make: Make) {
    let reactor = make();
    let (left, _right) = os::unix_pair().unwrap();
    let (mut one, mut two) = ([0; 1], [0; 1]);
    let mut first = op::Recv::new(&left, &mut one);
    let mut second = op::Recv::new(&left, &mut two);
    let ticket = submit(&reactor, &mut first, Token(1)).unwrap();
    let error = submit(&reactor, &mut second, Token(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().starts_with("wait to read fd "), "{error}");
    assert_eq!(reactor.in_flight(), 1);
    // The first is still there, and when it has gone the second may come.
    call_off_idle(&reactor, ticket, Token(1));
    let ticket = submit(&reactor, &mut second, Token(2)).unwrap();
    call_off_idle(&reactor, ticket, Token(2));
}

fn the_other_direction_may_be_waited_for_as_well(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let data = [1; 4096];
    let mut filled = 0;
    while let Attempt::Done(count) = reactor.attempt(&mut op::Send::new(&left, &data)) {
        filled += count.unwrap();
    }
    let mut send = op::Send::new(&left, &data);
    let mut byte = [0; 1];
    let mut receive = op::Recv::new(&left, &mut byte);
    submit(&reactor, &mut send, Token(1)).unwrap();
    submit(&reactor, &mut receive, Token(2)).unwrap();
    assert_eq!(done(reactor.attempt(&mut op::Send::new(&right, b"x"))), 1);
    assert_eq!(finish_wait(&reactor, &mut receive, Token(2)).unwrap(), 1);
    let mut buffer = vec![0; filled];
    let mut drained = 0;
    while drained < filled {
        let mut drain = op::Recv::new(&right, &mut buffer);
        drained += done(reactor.attempt(&mut drain));
    }
    assert_eq!(finish_wait(&reactor, &mut send, Token(1)).unwrap(), 4096);
}

fn a_regular_file_is_not_pollable(make: Make) {
    let reactor = make();
    let file = Source::new(File::open(std::env::current_exe().unwrap()).unwrap().into());
    let error = submit(&reactor, &mut op::Readiness::readable(&file), Token(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("not pollable"), "{error}");
}

fn a_refused_source_leaves_no_slot(make: Make) {
    let reactor = make();
    let file = Source::new(File::open(std::env::current_exe().unwrap()).unwrap().into());
    for _ in 0..3 {
        submit(&reactor, &mut op::Readiness::readable(&file), Token(1)).unwrap_err();
    }
    assert_eq!((reactor.in_flight(), reactor.statistics().sources), (0, 0));
    drop(file);
    let (left, _right) = os::unix_pair().unwrap();
    let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
    assert_eq!(reactor.cancel(ticket), Cancel::Done);
    assert_eq!(reactor.statistics().sources, 1);
}

/// In a process of its own, because the limit is the process's.
fn running_out_of_fds_is_an_error_everywhere(make: Make) {
    if !is_child() {
        let module = make().info().backend;
        let name = format!("errors::{module}::running_out_of_fds_is_an_error_everywhere");
        let child = in_child(&name);
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{child:?}");
        return;
    }
    let reactor = make();
    let options = os::ListenOptions::default();
    let listener = os::tcp_listener(localhost(), options).unwrap();
    let address = os::local_address(&listener).unwrap();
    let client = os::tcp_socket(address).unwrap();
    let mut readable = op::Readiness::readable(&listener);
    submit(&reactor, &mut readable, Token(1)).unwrap();
    let client_address = socket2::SockAddr::from(address);
    let _ = reactor.attempt(&mut op::Connect::new(&client, client_address));
    wait_for(&reactor, Token(1));
    let mut accept = op::Accept::new(&listener);

    let emfile = Some(rustix::io::Errno::MFILE.raw_os_error());
    let named = |error: std::io::Error, what: &str| {
        assert!(error.to_string().starts_with(what), "{error}");
        let cause = std::error::Error::source(error.get_ref().unwrap()).unwrap();
        assert_eq!(cause.downcast_ref::<std::io::Error>().unwrap().raw_os_error(), emfile);
    };
    let old = getrlimit(Resource::Nofile);
    let lowest_free = rustix::io::dup(&listener).unwrap();
    let floor = std::os::fd::AsRawFd::as_raw_fd(&lowest_free) as u64;
    drop(lowest_free);
    let limit = |room| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(floor + room), maximum: old.maximum })
            .unwrap();
    };
    limit(0);
    // The operation's own error is the system's, for callers who look at its number.
    for _ in 0..3 {
        let Attempt::Done(Err(error)) = reactor.attempt(&mut accept) else {
            panic!("accepted beyond the limit")
        };
        assert_eq!(error.raw_os_error(), emfile);
        if performs(&reactor) {
            submit(&reactor, &mut accept, Token(1)).unwrap();
            let error = finish_wait(&reactor, &mut accept, Token(1)).unwrap_err();
            assert_eq!(error.raw_os_error(), emfile);
        }
    }
    named(Reactor::new(Choice::Auto).unwrap_err(), "create an epoll instance: ");
    named(os::unix_pair().unwrap_err(), "open a pair of unix sockets: ");
    named(os::pipe().unwrap_err(), "open a pipe: ");
    named(os::tcp_listener(address, options).unwrap_err(), "listen on 127.0.0.1:");
    limit(1);
    named(Reactor::new(Choice::Auto).unwrap_err(), "create an eventfd for a reactor: ");
    // The connection has waited in the queue, and no edge was needed to find it again.
    done(reactor.attempt(&mut accept));
}

fn a_reactor_tells_what_it_is(make: Make) {
    let reactor = make();
    let info = reactor.info();
    assert!(!info.backend.is_empty() && !info.reason.is_empty(), "{info:?}");
    let text = format!("{reactor:?} {:?}", reactor.notifier());
    assert!(text.contains("Reactor") && text.contains("Notifier"));
    let (left, _right) = os::unix_pair().unwrap();
    assert!(format!("{left:?}").contains("fd"));
    assert_ne!(Direction::Read, Direction::Write);
}
