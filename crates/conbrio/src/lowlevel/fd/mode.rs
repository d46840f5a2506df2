//! The mode of open files as long as tasks wait for them.
//!
//! Non-blocking mode is a property of the open file description, open(2), which duplicates of a descriptor
//! share: those that `dup` makes, and also standard input, output and error of one terminal. If the first of
//! two that are used here gave the mode back, the next step of the other would block a worker with all its
//! tasks. So those who need the mode are counted for each open file, and the last one gives it back.
//!
//! The list is of the process, as the open files are. The invariant, whenever its lock is free: a file is in
//! it exactly if it was in blocking mode when the first of its users came, and its users are all open.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};

/// By device and number of the file, which narrows down what is to be compared.
type Files = BTreeMap<(u64, u64), Vec<OpenFile>>;

static FILES: Mutex<Files> = Mutex::new(Files::new());

/// One open file that was in blocking mode.
struct OpenFile {
    /// The descriptors that it is used through here; never empty.
    users: Vec<RawFd>,
}

/// Sets non-blocking mode. If it returns `true`, the caller calls [`give_back`] before it closes `fd`.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let key = key(fd)?;
    let mut files = lock();
    let known = files.get_mut(&key).and_then(|same_number| {
        same_number.iter_mut().find(|file| is_same_file(file.users[0], fd.as_raw_fd()))
    });
    let flags = fcntl_getfl(fd)?;
    if !flags.contains(OFlags::NONBLOCK) {
        fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
    } else if known.is_none() {
        // That was somebody else, who wants it so.
        return Ok(false);
    }
    match known {
        Some(file) => file.users.push(fd.as_raw_fd()),
        None => files.entry(key).or_default().push(OpenFile { users: vec![fd.as_raw_fd()] }),
    }
    Ok(true)
}

/// `fd` does not need the mode any more. If nobody does, the file is in blocking mode again.
pub(super) fn give_back(fd: BorrowedFd<'_>) {
    let Ok(key) = key(fd) else { return };
    let mut files = lock();
    let Some(same_number) = files.get_mut(&key) else { return };
    let number = fd.as_raw_fd();
    let Some(at) = same_number.iter().position(|file| file.users.contains(&number)) else { return };
    let users = &mut same_number[at].users;
    users.retain(|user| *user != number);
    if !users.is_empty() {
        return;
    }
    same_number.swap_remove(at);
    if same_number.is_empty() {
        files.remove(&key);
    }
    if let Ok(flags) = fcntl_getfl(fd) {
        // If it fails, the file stays as it is: there is nobody to tell.
        let _ = fcntl_setfl(fd, flags - OFlags::NONBLOCK);
    }
}

fn key(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = fstat(fd)?;
    #[allow(clippy::useless_conversion, reason = "the types differ from target to target")]
    Ok((stat.st_dev.into(), stat.st_ino.into()))
}

/// Whether two descriptors of this process are of one open file.
///
/// Where the system does not say so, such as under a seccomp filter, it is taken for granted: then a file may
/// stay in non-blocking mode if it is open more than once, but no worker is blocked.
fn is_same_file(one: RawFd, other: RawFd) -> bool {
    let process = std::process::id();
    // SAFETY: no memory is involved: the arguments are numbers.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, process, process, KCMP_FILE, one, other) };
    order <= 0
}

fn lock() -> MutexGuard<'static, Files> {
    // Nothing panics under it.
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of linux/kcmp.h: 0 says that both numbers mean the same open file, 1 to 3 that they do not.
const KCMP_FILE: libc::c_int = 0;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn duplicates_are_one_open_file_and_the_two_ends_of_a_pipe_are_not() {
        let (reader, writer) = std::io::pipe().unwrap();
        let same = |one: BorrowedFd<'_>, other: BorrowedFd<'_>| {
            is_same_file(one.as_raw_fd(), other.as_raw_fd())
        };
        assert!(same(reader.as_fd(), reader.try_clone().unwrap().as_fd()));
        assert!(!same(reader.as_fd(), writer.as_fd()), "this system has no kcmp(2)");
    }

    #[test]
    fn nothing_is_left_behind() {
        let (reader, writer) = std::io::pipe().unwrap();
        let other = reader.try_clone().unwrap();
        let all = [reader.as_fd(), writer.as_fd(), other.as_fd()];
        for fd in all {
            assert!(set_nonblocking(fd).unwrap());
        }
        let key = key(reader.as_fd()).unwrap();
        assert_eq!(lock()[&key].len(), 2);
        for fd in all {
            give_back(fd);
        }
        assert!(!lock().contains_key(&key));
        for fd in all {
            assert!(!fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
        }
    }
}
