//! Why this machine does not get a ring: the step that failed, and what can be done about it.

use std::fmt;
use std::io;

/// What was being done when io_uring was found to be of no use.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Step {
    /// io_uring_setup(2) and the mapping of its queues.
    Setup,
    /// The flags of io_uring_setup(2): the kernel is too old.
    Flags,
    /// The features that the kernel says it has.
    Features,
    /// The operations that the kernel says it knows.
    Operations,
    /// The fds of the reactor besides the ring.
    Descriptors,
    /// Whether a ring does what it says.
    SelfTest,
}

/// Why io_uring is not used.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) step: Step,
    pub(crate) error: io::Error,
}

impl Refusal {
    pub(crate) fn new(step: Step, error: io::Error) -> Refusal {
        Refusal { step, error }
    }

    /// A refusal of ours: the kernel said yes to everything.
    pub(super) fn ours(step: Step, what: impl Into<String>) -> Refusal {
        Refusal::new(step, io::Error::new(io::ErrorKind::Unsupported, what.into()))
    }

    /// What usually stands behind it.
    fn hint(&self) -> Option<&'static str> {
        match (self.step, errno(&self.error)?) {
            (Step::Flags, libc::EINVAL) => Some("the kernel is older than 6.1"),
            (Step::Setup, libc::ENOSYS) => {
                Some("the kernel is built without it, or a seccomp filter hides it")
            }
            (Step::Setup, libc::EPERM | libc::EACCES) => {
                Some("a seccomp filter or the sysctl kernel.io_uring_disabled forbids it")
            }
            (Step::Setup, libc::ENOMEM) => {
                Some("raise the limit of locked memory, `ulimit -l`, or that of the memory cgroup")
            }
            (_, libc::EMFILE) => Some("raise the limit of open files, `ulimit -n`"),
            (_, libc::EPERM | libc::EACCES | libc::ENOSYS) => {
                Some("a seccomp filter forbids a part of it")
            }
            _ => None,
        }
    }
}

/// The number of the system's error, which may stand behind words of ours.
fn errno(error: &io::Error) -> Option<i32> {
    let behind = || error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error();
    error.raw_os_error().or_else(behind)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Setup | Step::Flags => "set up an io_uring",
            Step::Features => "look for features of io_uring",
            Step::Operations => "look for operations of io_uring",
            Step::Descriptors => "make the fds of an io_uring reactor",
            Step::SelfTest => "test an io_uring",
        };
        write!(f, "{step}: {}", self.error)?;
        match self.hint() {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> io::Error {
        io::Error::new(refusal.error.kind(), refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_failed_and_how_to_mend_it() {
        let said =
            |step, errno| Refusal::new(step, io::Error::from_raw_os_error(errno)).to_string();
        assert!(said(Step::Setup, libc::EPERM).contains("kernel.io_uring_disabled"));
        assert!(said(Step::Setup, libc::ENOSYS).contains("seccomp"));
        assert!(said(Step::Setup, libc::ENOMEM).contains("ulimit -l"));
        assert!(said(Step::Setup, libc::EMFILE).contains("ulimit -n"));
        assert!(said(Step::Flags, libc::EINVAL).contains("6.1"));
        assert!(said(Step::Operations, libc::EPERM).contains("seccomp"));
        let ours = Refusal::ours(Step::SelfTest, "no answer");
        assert_eq!(ours.to_string(), "test an io_uring: no answer");
    }
}
