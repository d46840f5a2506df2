//! A process that was started here: waiting for its end, signals, and reaping.
//!
//! Owns the process id until the process has been reaped. The invariant: the id is used only while the
//! process has not been reaped here, under the lock, so that a signal never goes to another process which has
//! got the same id later. With a descriptor of the process (pidfd) that holds whatever others do.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, getpgid, pidfd_open, waitid,
};

use crate::io::Error;
use crate::lowlevel::{kill, send_signal, status_after_reaping, wait_readable};
use crate::signal::{Signal, Signals};
use crate::task::Cx;

/// A program that was started here: to wait for its end, and to send it signals. Several tasks may share it.
///
/// When it is dropped, and the process has not been waited for to its end, the process is killed (`SIGKILL`)
/// and reaped, so that none outlives what it was started for. That blocks the thread until the system has
/// ended it, most often much less than a millisecond; [`Command::run`](super::Command::run) asks politely
/// first, and waits as a task does. If it is forgotten ([`std::mem::forget`]), the process runs on, and stays
/// a zombie when it has ended: its id is not given to others as long as this process lives.
pub struct Process {
    program: String,
    pid: Pid,
    /// `None` where the system has no such descriptors: before Linux 5.3, or under a seccomp filter.
    pidfd: Option<OwnedFd>,
    leads_group: bool,
    end: Mutex<Option<End>>,
}

/// What became of a process that is no more.
#[derive(Clone, Copy)]
enum End {
    Reaped(ExitStatus),
    /// Somebody else has reaped it, or the system has, and its status is not to be had.
    Lost,
}

impl Process {
    /// Takes over a child process that was started just now.
    ///
    /// `leads_group` says that its process group has its own id.
    ///
    /// # Errors
    ///
    /// What pidfd_open(2) says, except that there is no such call. The process has been killed then.
    pub(super) fn new(program: String, id: u32, leads_group: bool) -> io::Result<Process> {
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).expect("the id of a process");
        // From here on it is reaped, whatever happens.
        let mut this = Process { program, pid, pidfd: None, leads_group, end: Mutex::new(None) };
        this.pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Some(pidfd),
            // Not there, not allowed; or it has been reaped already, as below.
            Err(Errno::NOSYS | Errno::PERM | Errno::SRCH) => None,
            Err(error) => return Err(error.into()),
        };
        // If `SIGCHLD` is ignored, the system reaps it as soon as it has ended, and then number and descriptor
        // may be those of a stranger, who is no child of ours. A child that is seen here is ours, and has the
        // number until it is reaped.
        if this.is_gone() {
            let end = this.look(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
            *this.end() = end;
        }
        Ok(this)
    }

    /// Its id. Once the process has been waited for, another one may get it.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The program, as it was named to [`Command::new`](super::Command::new).
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Waits for its end, and reaps it. Any number of tasks may wait, and each gets the status, also later.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the process goes on.
    ///
    /// # Errors
    ///
    /// `NotFound` if somebody else has reaped it and its status is lost: that happens before Linux 6.15 if
    /// `SIGCHLD` is ignored, or if other code waits for all children. Besides, what waitid(2), dup(2) and
    /// epoll_ctl(2) say.
    pub fn wait(&self, cx: &mut Cx) -> Result<ExitStatus, Error> {
        cx.checkpoint()?;
        match &self.pidfd {
            Some(pidfd) => loop {
                if let Some(status) = self.try_wait()? {
                    return Ok(status);
                }
                wait_readable(cx, pidfd)?;
            },
            None => {
                let mut signals = Signals::new(&[Signal::CHILD])?;
                loop {
                    if let Some(status) = self.try_wait()? {
                        return Ok(status);
                    }
                    signals.wait(cx)?;
                }
            }
        }
    }

    /// Its exit status, if it has ended. Never waits.
    ///
    /// # Errors
    ///
    /// As [`wait`](Process::wait).
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut end = self.end();
        if end.is_none() {
            *end = self.look(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
        }
        match *end {
            None => Ok(None),
            Some(End::Reaped(status)) => Ok(Some(status)),
            Some(End::Lost) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "wait for `{}`: it has ended, and its status is lost, as it was reaped by somebody else \
                     (`SIGCHLD` must not be ignored, and no other code may wait for all children)",
                    self.program
                ),
            )),
        }
    }

    /// Sends it a signal. No effect if it has ended.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it runs as another user; `InvalidInput` if there is no such signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let end = self.end();
        if end.is_some() {
            return Ok(());
        }
        self.judge(self.send(signal), signal)
    }

    /// Sends a signal to its whole process group, if the command was made with
    /// [`process_group(0)`](super::Command::process_group); else to it alone. No effect if it has ended.
    ///
    /// A process can leave the group that it was started to lead; then it gets the signal besides the group.
    ///
    /// # Errors
    ///
    /// As [`signal`](Process::signal).
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        if !self.leads_group {
            return self.signal(signal);
        }
        let end = self.end();
        if end.is_some() {
            return Ok(());
        }
        // Until the leader has been reaped its id is that of no other group. Others may have reaped it.
        if self.is_gone() {
            return Ok(());
        }
        let sent = kill(-self.pid.as_raw_nonzero().get(), signal.as_raw());
        // It may leave the group at any time, and what ends it must reach it; elsewhere, twice is wrong, too.
        let has_left = getpgid(Some(self.pid)).is_ok_and(|group| group != self.pid);
        if !has_left && signal != Signal::KILL {
            return self.judge(sent, signal);
        }
        self.judge(self.send(signal), signal)
    }

    /// Whether the process is no child of ours any more: somebody else has reaped it.
    fn is_gone(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(self.wait_id(options), Err(Errno::CHILD))
    }

    /// Sends it a signal. The caller holds the lock, and it has not been reaped here.
    fn send(&self, signal: Signal) -> io::Result<()> {
        match &self.pidfd {
            Some(pidfd) => send_signal(pidfd.as_fd(), signal.as_raw()),
            None => kill(self.pid.as_raw_nonzero().get(), signal.as_raw()),
        }
    }

    /// Asks it to end: `SIGTERM`.
    ///
    /// # Errors
    ///
    /// As [`signal`](Process::signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERMINATE)
    }

    /// Ends it: `SIGKILL`. It is not waited for.
    ///
    /// # Errors
    ///
    /// As [`signal`](Process::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Kills it if it has not been reaped, and blocks the thread until it is.
    pub(super) fn kill_and_reap(&self) {
        if !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        // If it may not be killed, as it runs as another user, waiting might be for ever.
        if self.signal_group(Signal::KILL).is_err() {
            return;
        }
        let mut end = self.end();
        // No thread waits under the lock for long: this is the one that drops it, or ends it.
        if end.is_none()
            && let Ok(found) = self.look(WaitIdOptions::EXITED)
        {
            *end = found;
        }
    }

    /// Reaps it if it has ended. The caller holds the lock.
    fn look(&self, options: WaitIdOptions) -> io::Result<Option<End>> {
        match self.wait_id(options) {
            Ok(found) => Ok(found.map(|status| End::Reaped(exit_status(&status)))),
            Err(Errno::CHILD) => {
                let status = self.pidfd.as_ref().and_then(|fd| status_after_reaping(fd.as_fd()));
                Ok(Some(status.map_or(End::Lost, End::Reaped)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn wait_id(&self, options: WaitIdOptions) -> Result<Option<WaitIdStatus>, Errno> {
        let mut by_pidfd = self.pidfd.as_ref();
        loop {
            let id = by_pidfd.map_or(WaitId::Pid(self.pid), |pidfd| WaitId::PidFd(pidfd.as_fd()));
            match waitid(id, options) {
                Err(Errno::INTR) => {}
                // Linux 5.3 has the descriptors, and cannot wait by them.
                Err(Errno::INVAL) if by_pidfd.take().is_some() => {}
                found => return found,
            }
        }
    }

    fn judge(&self, sent: io::Result<()>, signal: Signal) -> io::Result<()> {
        match sent {
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
            Err(error) => {
                let message = format!("send {signal} to `{}`: {error}", self.program);
                Err(io::Error::new(error.kind(), message))
            }
            Ok(()) => Ok(()),
        }
    }

    fn end(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn without_pidfd(mut self) -> Process {
        self.pidfd = None;
        self
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_and_reap();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match *self.end() {
            None => "not waited for".to_owned(),
            Some(End::Reaped(status)) => status.to_string(),
            Some(End::Lost) => "ended".to_owned(),
        };
        f.debug_struct("Process")
            .field("program", &self.program)
            .field("id", &self.id())
            .field("status", &format_args!("{end}"))
            .finish_non_exhaustive()
    }
}

/// The same as the word that wait(2) gives: see there for its bits.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    let word = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, signal) => signal.unwrap_or(0) | if status.dumped() { 0x80 } else { 0 },
    };
    ExitStatus::from_raw(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Builder;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Stdio};

    fn cat() -> (Child, Process) {
        let mut cat = std::process::Command::new("cat");
        let child = cat.stdin(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        (child, Process::new("cat".to_owned(), id, false).unwrap().without_pidfd())
    }

    // Where the system has no descriptors of processes, `SIGCHLD` tells.
    // spec: test_subprocess.basic_no_pidfd, test_subprocess.multi_wait_no_pidfd
    #[test]
    fn without_pidfd_a_signal_tells() {
        for workers in [1, 2] {
            Builder::new()
                .workers(workers)
                .run(|cx| {
                    let (mut child, process) = cat();
                    assert!(process.try_wait().unwrap().is_none());
                    let gave_up = cx.move_on_after(CUSHION, |cx| process.wait(cx));
                    assert!(gave_up.unwrap().is_none());
                    cx.nursery(|cx, n| -> Result<(), Error> {
                        let waiting = [(); 3].map(|()| n.spawn(|cx| process.wait(cx)));
                        cx.sleep(CUSHION)?;
                        drop(child.stdin.take());
                        for mut task in waiting {
                            assert!(task.join(cx)?.success());
                        }
                        Ok(())
                    })
                    .unwrap();
                    // Signals go by the number, and nowhere when it has been reaped.
                    process.kill().unwrap();
                    let (_child, process) = cat();
                    process.terminate().unwrap();
                    let status = process.wait(cx).unwrap();
                    assert_eq!(status.signal(), Some(libc::SIGTERM));
                    // Dropping ends it.
                    let (_child, process) = cat();
                    let pid = process.pid;
                    drop(process);
                    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                    assert_eq!(waitid(WaitId::Pid(pid), options).err(), Some(Errno::CHILD));
                })
                .unwrap();
        }
    }

    // A system without a memory for what somebody else has reaped.
    // spec: test_subprocess.wait_reapable_fails_no_pidfd
    #[test]
    fn a_lost_status_is_an_error_that_says_why() {
        Builder::new()
            .workers(1)
            .run(|cx| {
                let (mut child, process) = cat();
                drop(child.stdin.take());
                child.wait().unwrap();
                let error = process.wait(cx).unwrap_err().into_failed().unwrap();
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                assert!(error.to_string().contains("SIGCHLD"), "{error}");
                assert!(process.try_wait().is_err());
                process.kill().unwrap();
                assert!(format!("{process:?}").contains("ended"));
            })
            .unwrap();
    }

    #[test]
    fn all_ends_have_the_words_of_wait() {
        let ended = |script: &str| {
            #[expect(clippy::zombie_processes, reason = "the process reaps it")]
            let child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
            let process = Process::new("sh".to_owned(), child.id(), false).unwrap();
            let found = process.look(WaitIdOptions::EXITED).unwrap().unwrap();
            *process.end() = Some(found);
            match found {
                End::Reaped(status) => (status.code(), status.signal(), status.core_dumped()),
                End::Lost => unreachable!(),
            }
        };
        assert_eq!(ended("exit 0"), (Some(0), None, false));
        assert_eq!(ended("exit 255"), (Some(255), None, false));
        assert_eq!(ended("kill -KILL $$"), (None, Some(libc::SIGKILL), false));
        assert_eq!(ended("ulimit -c 0; kill -ABRT $$"), (None, Some(libc::SIGABRT), false));
    }

    const CUSHION: std::time::Duration = std::time::Duration::from_millis(3);
}
