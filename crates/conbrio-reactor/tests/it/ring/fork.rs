//! A child process does not share the ring: neither its memory nor, after exec, its fd.

use std::io::Write as _;
use std::process::Command;

use conbrio_reactor::{Outcome, Token, op};

use crate::support::*;

ring_suite!(
    a_child_process_has_no_part_of_the_ring,
    operations_in_flight_survive_the_start_of_processes,
);

fn maps_a_ring() -> bool {
    std::fs::read_to_string("/proc/self/maps").unwrap().contains("[io_uring]")
}

/// In a process of its own, because a fork copies what other tests are in the middle of.
fn a_child_process_has_no_part_of_the_ring(make: Make) {
    if !is_child() {
        let child = in_child("ring::fork::on_a_ring::a_child_process_has_no_part_of_the_ring");
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{child:?}");
        return;
    }
    let reactor = make();
    assert!(maps_a_ring());
    // SAFETY: the child reads a file and ends; no other thread of this process holds a lock for long.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = i32::from(maps_a_ring());
        // SAFETY: it ends the child without running anything else.
        unsafe { libc::_exit(code) };
    }
    let mut status = -1;
    // SAFETY: the status is a valid place.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child process sees the memory of the ring");
    drop(reactor);
}

fn operations_in_flight_survive_the_start_of_processes(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    let mut buffer = [0; 64];
    for round in 0..10 {
        let mut receive = op::Recv::new(&ours, &mut buffer);
        submit(&reactor, &mut receive, Token(round)).unwrap();
        assert!(poll_now(&reactor).is_empty());
        let listing = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&listing.stdout).contains("io_uring"), "{listing:?}");
        peer.write_all(b"parent").unwrap();
        assert_eq!(wait_for(&reactor, Token(round)), Outcome::Done(6));
        assert_eq!(&buffer[..6], b"parent");
    }
}
