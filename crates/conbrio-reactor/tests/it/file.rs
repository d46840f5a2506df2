//! Operations on files: the same on a ring and on the calling thread; what is cancelled has no effect,
//! and what was too late to cancel has all of it.

use std::ffi::{CStr, CString};
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use conbrio_reactor::op::file::{
    Allocate, Close, FileOperation, Link, MakeDirectory, Open, ReadAt, ReadVectoredAt, Remove,
    Rename, Status, Symlink, Sync, WriteAt, WriteVectoredAt,
};
use conbrio_reactor::{Cancel, Completion, Outcome, Reactor, Token};
use rustix::fs::CWD;

use crate::support::*;

suite!(
    a_file_lives_from_its_making_to_its_end,
    offsets_and_the_files_own_position_are_two_things,
    errors_are_the_systems,
    a_reactor_says_whether_it_performs_files,
);

mod on_a_ring {
    use crate::support::on_uring;

    #[test]
    fn many_operations_on_one_file_are_in_flight() {
        on_uring(super::many_operations_on_one_file_are_in_flight);
    }

    #[test]
    fn writes_against_cancellations_leave_what_they_say() {
        on_uring(super::writes_against_cancellations_leave_what_they_say);
    }

    #[test]
    fn opens_and_closes_against_cancellations_leak_no_fd() {
        on_uring(super::opens_and_closes_against_cancellations_leak_no_fd);
    }
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let thread = std::thread::current().id();
        let path =
            std::env::temp_dir().join(format!("conbrio-{}-{name}-{thread:?}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> CString {
        CString::new(self.0.join(name).as_os_str().as_bytes()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Performs the operation as a task would: on the ring, or on a thread, here this one.
fn perform<O: FileOperation>(reactor: &Reactor, op: &mut O) -> std::io::Result<O::Output> {
    if !reactor.performs_files() {
        return op.perform();
    }
    loop {
        // SAFETY: `wait_for` returns only when the wait has ended.
        unsafe { reactor.submit_file(op, Token(9))? };
        if let Outcome::Done(raw) = wait_for(reactor, Token(9)) {
            // SAFETY: the result of the request of the `submit_file` above.
            return unsafe { op.complete(raw) };
        }
    }
}

fn open(reactor: &Reactor, path: &CStr, flags: i32) -> std::io::Result<OwnedFd> {
    perform(reactor, &mut Open::new(CWD, path, flags, 0o600))
}

const NEW: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;

fn a_file_lives_from_its_making_to_its_end(make: Make) {
    let reactor = make();
    let folder = Folder::new("life");
    let inner = folder.path("inner");
    perform(&reactor, &mut MakeDirectory::new(CWD, &inner, 0o700)).unwrap();
    let directory = open(&reactor, &inner, libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
    let at = directory.as_fd();
    let file = perform(&reactor, &mut Open::new(at, c"one", NEW, 0o600)).unwrap();
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let fd = file.as_fd();

    assert_eq!(perform(&reactor, &mut WriteAt::new(fd, b"hello", Some(3))).unwrap(), 5);
    let parts = [IoSlice::new(b", "), IoSlice::new(b"world")];
    assert_eq!(perform(&reactor, &mut WriteVectoredAt::new(fd, &parts, Some(8))).unwrap(), 7);
    perform(&reactor, &mut Sync::data(fd)).unwrap();
    perform(&reactor, &mut Sync::all(fd)).unwrap();
    perform(&reactor, &mut Allocate::new(fd, 0, 4096)).unwrap();
    let status = perform(&reactor, &mut Status::of(fd)).unwrap();
    assert_eq!((status.stx_size, status.stx_nlink), (4096, 1));
    assert_eq!(status.stx_mode & 0o7777, 0o600);

    let mut buffer = [7; 32];
    assert_eq!(perform(&reactor, &mut ReadAt::new(fd, &mut buffer, Some(0))).unwrap(), 32);
    assert_eq!(&buffer[..16], b"\0\0\0hello, world\0");
    let (mut one, mut two) = ([0; 2], [0; 3]);
    let mut list = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(perform(&reactor, &mut ReadVectoredAt::new(fd, &mut list, Some(3))).unwrap(), 5);
    assert_eq!((&one, &two), (b"he", b"llo"));
    assert_eq!(perform(&reactor, &mut ReadAt::new(fd, &mut buffer, Some(4096))).unwrap(), 0);

    perform(&reactor, &mut Rename::new((at, c"one"), (at, c"two"), 0)).unwrap();
    perform(&reactor, &mut Link::new((at, c"two"), (at, c"three"), 0)).unwrap();
    perform(&reactor, &mut Symlink::new(c"three", at, c"four")).unwrap();
    let followed = perform(&reactor, &mut Status::at(at, c"four", 0)).unwrap();
    assert_eq!((followed.stx_ino, followed.stx_nlink), (status.stx_ino, 2));
    let link = Status::at(at, c"four", libc::AT_SYMLINK_NOFOLLOW);
    assert_ne!(perform(&reactor, &mut { link }).unwrap().stx_ino, status.stx_ino);
    for name in [c"two", c"three", c"four"] {
        perform(&reactor, &mut Remove::file(at, name)).unwrap();
    }
    perform(&reactor, &mut Remove::directory(CWD, &inner)).unwrap();
    let number = file.as_raw_fd();
    let mut close = Close::new(file);
    perform(&reactor, &mut close).unwrap();
    drop(close);
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    assert!(!link.to_string_lossy().contains("inner"), "it is still open");
}

fn offsets_and_the_files_own_position_are_two_things(make: Make) {
    let reactor = make();
    let folder = Folder::new("position");
    let path = folder.path("file");
    let file = open(&reactor, &path, NEW).unwrap();
    let fd = file.as_fd();
    assert_eq!(perform(&reactor, &mut WriteAt::new(fd, b"0123456789", None)).unwrap(), 10);
    assert_eq!(perform(&reactor, &mut WriteAt::new(fd, b"ab", Some(2))).unwrap(), 2);
    assert_eq!(perform(&reactor, &mut WriteAt::new(fd, b"!", None)).unwrap(), 1);
    assert_eq!(std::fs::read(folder.0.join("file")).unwrap(), b"01ab456789!");
    let appended = open(&reactor, &path, libc::O_WRONLY | libc::O_APPEND).unwrap();
    let mut append = WriteAt::new(appended.as_fd(), b"?", None);
    assert_eq!(perform(&reactor, &mut append).unwrap(), 1);
    assert_eq!(std::fs::read(folder.0.join("file")).unwrap(), b"01ab456789!?");
}

fn errors_are_the_systems(make: Make) {
    let reactor = make();
    let folder = Folder::new("errors");
    let path = folder.path("missing");
    let kind = |result: std::io::Result<OwnedFd>| result.unwrap_err().kind();
    assert_eq!(kind(open(&reactor, &path, libc::O_RDONLY)), ErrorKind::NotFound);
    let file = open(&reactor, &path, NEW).unwrap();
    assert_eq!(kind(open(&reactor, &path, NEW)), ErrorKind::AlreadyExists);
    drop(file);
    let reading = open(&reactor, &path, libc::O_RDONLY).unwrap();
    let error = perform(&reactor, &mut WriteAt::new(reading.as_fd(), b"x", Some(0))).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    let error = perform(&reactor, &mut Remove::directory(CWD, &path)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert_eq!(reactor.in_flight(), 0);
}

fn a_reactor_says_whether_it_performs_files(make: Make) {
    let reactor = make();
    let file = open(&reactor, c"/proc/self/exe", libc::O_RDONLY).unwrap();
    let mut status = Status::of(file.as_fd());
    // SAFETY: the operation stays until the wait, if there is one, has ended below.
    match unsafe { reactor.submit_file(&mut status, Token(1)) } {
        Ok(_) => {
            assert!(reactor.performs_files());
            assert_eq!(wait_for(&reactor, Token(1)), Outcome::Done(0));
        }
        Err(error) => {
            assert!(!reactor.performs_files() && reactor.in_flight() == 0);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("let a thread perform it"), "{error}");
        }
    }
}

fn many_operations_on_one_file_are_in_flight(make: Make) {
    const BLOCKS: usize = 700;
    let reactor = make();
    let folder = Folder::new("many");
    let file = open(&reactor, &folder.path("file"), NEW).unwrap();
    let blocks: Vec<[u8; 512]> = (0..BLOCKS).map(|at| [at as u8; 512]).collect();
    let block_at = |at: usize| Some(512 * at as u64);
    let mut writes: Vec<_> = blocks
        .iter()
        .enumerate()
        .map(|(at, block)| WriteAt::new(file.as_fd(), block, block_at(at)))
        .collect();
    for (at, write) in writes.iter_mut().enumerate() {
        // SAFETY: all of them stay until all have ended.
        unsafe { reactor.submit_file(write, Token(at as u64)).unwrap() };
    }
    assert_eq!(reactor.in_flight(), BLOCKS);
    expect_all(&reactor, BLOCKS);
    let mut back = vec![[0u8; 512]; BLOCKS];
    let mut reads: Vec<_> = back
        .iter_mut()
        .enumerate()
        .map(|(at, block)| ReadAt::new(file.as_fd(), block, block_at(at)))
        .collect();
    for (at, read) in reads.iter_mut().enumerate() {
        // SAFETY: as above.
        unsafe { reactor.submit_file(read, Token(at as u64)).unwrap() };
    }
    expect_all(&reactor, BLOCKS);
    drop(reads);
    assert!(back == blocks);
}

fn expect_all(reactor: &Reactor, count: usize) {
    let mut completions: Vec<Completion> = Vec::new();
    while completions.len() < count {
        completions.extend(wait_some(reactor));
    }
    completions.sort_by_key(|completion| completion.token.0);
    for (at, completion) in completions.iter().enumerate() {
        assert_eq!((completion.token, completion.outcome), (Token(at as u64), Outcome::Done(512)));
    }
    assert_eq!(reactor.in_flight(), 0);
}

/// The file always holds exactly the bytes that the results say.
fn writes_against_cancellations_leave_what_they_say(make: Make) {
    let reactor = make();
    let folder = Folder::new("cancel");
    let file = open(&reactor, &folder.path("file"), NEW | libc::O_APPEND).unwrap();
    let mut chance = Chance::new(51);
    let mut expected = Vec::new();
    let (mut done, mut cancelled) = (0, 0);
    for round in 0..2_000usize {
        let data = vec![round as u8; 1 + chance.below(8_000)];
        let mut write = WriteAt::new(file.as_fd(), &data, None);
        // SAFETY: the wait has ended at the end of the round.
        let ticket = unsafe { reactor.submit_file(&mut write, Token(1)).unwrap() };
        let mut outcome = None;
        if chance.below(2) == 0 {
            outcome = poll_now(&reactor).first().map(|completion| completion.outcome);
        }
        for _ in 0..chance.below(2_000) {
            std::hint::spin_loop();
        }
        if outcome.is_none() {
            outcome = match reactor.cancel(ticket) {
                Cancel::Done => panic!("a ring has it"),
                Cancel::Pending => Some(wait_for(&reactor, Token(1))),
            };
        }
        match outcome.unwrap() {
            CANCELLED | Outcome::Ready => cancelled += 1,
            Outcome::Done(count) => {
                done += 1;
                expected.extend_from_slice(&data[..usize::try_from(count).unwrap()]);
            }
        }
    }
    println!("{done} done, {cancelled} cancelled");
    assert!(done > 0);
    assert!(std::fs::read(folder.0.join("file")).unwrap() == expected);
}

/// In a process of its own, because it counts fds.
fn opens_and_closes_against_cancellations_leak_no_fd(make: Make) {
    if !is_child() {
        let name = "file::on_a_ring::opens_and_closes_against_cancellations_leak_no_fd";
        let child = in_child(name);
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{child:?}");
        return;
    }
    let reactor = make();
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = fds();
    let mut chance = Chance::new(52);
    for _ in 0..1_000 {
        let mut open = Open::new(CWD, c"/proc/self/status", libc::O_RDONLY, 0);
        let Some(raw) = race(&reactor, &mut open, &mut chance) else {
            continue;
        };
        // SAFETY: the result of its request, once.
        let file = unsafe { open.complete(raw) }.unwrap();
        let mut close = Close::new(file);
        if let Some(raw) = race(&reactor, &mut close, &mut chance) {
            // SAFETY: as above.
            unsafe { close.complete(raw) }.unwrap();
        }
    }
    assert_eq!(fds(), before);
}

/// Submits, and calls it off at a random time. The result, unless it was stopped.
fn race<O: FileOperation>(reactor: &Reactor, op: &mut O, chance: &mut Chance) -> Option<i32> {
    // SAFETY: the wait has ended when this returns.
    let ticket = unsafe { reactor.submit_file(op, Token(1)).unwrap() };
    let early = match chance.below(2) {
        0 => poll_now(reactor).first().map(|completion| completion.outcome),
        _ => None,
    };
    match early.or_else(|| call_off(reactor, ticket, Token(1))) {
        Some(Outcome::Done(raw)) => Some(raw),
        Some(Outcome::Ready) | None => None,
    }
}
