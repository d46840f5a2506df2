//! The names of signals.

use std::fmt;

/// A signal of the operating system.
///
/// # Examples
///
/// ```
/// use conbrio::signal::Signal;
///
/// assert_eq!(Signal::INTERRUPT.to_string(), "SIGINT");
/// assert_eq!(Signal::from_raw(Signal::HANGUP.as_raw()), Signal::HANGUP);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// `SIGHUP`: the terminal has gone; for services, read the configuration again.
    pub const HANGUP: Signal = Signal(libc::SIGHUP);
    /// `SIGINT`: Ctrl-C.
    pub const INTERRUPT: Signal = Signal(libc::SIGINT);
    /// `SIGQUIT`: Ctrl-\\.
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    /// `SIGTERM`: please end.
    pub const TERMINATE: Signal = Signal(libc::SIGTERM);
    /// `SIGKILL`: ends a process, which cannot catch it.
    pub const KILL: Signal = Signal(libc::SIGKILL);
    /// `SIGUSR1`: for the program to define.
    pub const USER1: Signal = Signal(libc::SIGUSR1);
    /// `SIGUSR2`: for the program to define.
    pub const USER2: Signal = Signal(libc::SIGUSR2);
    /// `SIGCHLD`: a child process has stopped or ended.
    pub const CHILD: Signal = Signal(libc::SIGCHLD);
    /// `SIGALRM`: a timer of alarm(2).
    pub const ALARM: Signal = Signal(libc::SIGALRM);
    /// `SIGCONT`: goes on after it was stopped.
    pub const CONTINUE: Signal = Signal(libc::SIGCONT);
    /// `SIGWINCH`: the terminal has another size.
    pub const WINDOW_CHANGE: Signal = Signal(libc::SIGWINCH);

    /// The signal of this number, such as `SIGRTMIN + 1`. Whether there is one shows when it is used.
    #[must_use]
    pub const fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// Its number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_hook::low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({self})")
    }
}
