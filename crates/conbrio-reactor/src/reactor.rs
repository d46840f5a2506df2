//! The reactor that a worker owns: one of the back ends, chosen at run time.
//!
//! This file owns the choice and the generic loop around a system call ([`Reactor::attempt`]). What
//! waiting means is the back end's. The invariant: a reactor stays on the thread that made it.

use std::io;
use std::marker::PhantomData;

use crate::driver::{Cancel, Driver, Hint, Ticket, Timeout};
use crate::epoll::Epoll;
use crate::{Completion, Notifier, Operation, Statistics, Token};

/// Which back end a reactor uses.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
#[non_exhaustive]
pub enum Choice {
    /// The best one that this machine allows.
    #[default]
    Auto,
    /// epoll(7).
    Epoll,
}

/// What a reactor is and why, for logs.
#[derive(Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Name of the back end, such as `epoll`.
    pub backend: &'static str,
    /// Why this back end was chosen, in words.
    pub reason: String,
}

/// The result of trying an operation without waiting.
#[derive(Debug)]
#[must_use = "an attempt may have completed the operation"]
pub enum Attempt<T> {
    /// The operation has ended with this.
    Done(T),
    /// The operation has had no effect yet: submit it, or give it up.
    Wait,
}

/// Turns operations into completions, for the thread that made it.
///
/// A worker owns one. It performs an operation by attempting it, and when that answers
/// [`Attempt::Wait`], by submitting it and polling until the token comes back.
///
/// # Panics
///
/// Dropping a reactor while waits are in flight prints a message and aborts the process: the
/// waiting tasks could never run again, and a back end that hands buffers to the kernel could not
/// get them back.
///
/// # Examples
///
/// ```
/// use conbrio_reactor::{Attempt, Choice, Outcome, Reactor, Timeout, Token, op, os};
///
/// let reactor = Reactor::new(Choice::Auto)?;
/// let (left, right) = os::unix_pair()?;
/// let mut buffer = [0; 16];
/// let mut receive = op::Recv::new(&left, &mut buffer);
/// assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
/// // SAFETY: `receive` is neither moved nor dropped before the wait has ended below.
/// unsafe { reactor.submit(&mut receive, Token(7))? };
///
/// let sent = reactor.attempt(&mut op::Send::new(&right, b"hello"));
/// assert!(matches!(sent, Attempt::Done(Ok(5))));
///
/// let mut completions = Vec::new();
/// while completions.is_empty() {
///     reactor.poll(Timeout::Never, &mut completions)?;
/// }
/// assert_eq!(completions[0].token, Token(7));
/// assert_eq!(completions[0].outcome, Outcome::Ready);
/// assert!(matches!(reactor.attempt(&mut receive), Attempt::Done(Ok(5))));
/// assert_eq!(&buffer[..5], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A reactor does not leave its thread:
///
/// ```compile_fail,E0277
/// let reactor = conbrio_reactor::Reactor::new(conbrio_reactor::Choice::Auto).unwrap();
/// std::thread::spawn(move || drop(reactor));
/// ```
#[derive(Debug)]
pub struct Reactor {
    backend: Backend,
    info: Info,
    /// A ring belongs to the thread that made it, and the readiness bits of epoll are unshared.
    stays_on_its_thread: PhantomData<*const ()>,
}

#[derive(Debug)]
enum Backend {
    Epoll(Epoll),
}

impl Reactor {
    /// Makes a reactor for the calling thread.
    ///
    /// # Errors
    ///
    /// If the kernel refuses what the back end needs; most often the limit of open files is reached.
    pub fn new(choice: Choice) -> io::Result<Reactor> {
        let reason = match choice {
            Choice::Auto => "it is the only back end of this version",
            Choice::Epoll => "it was asked for",
        };
        let epoll = Epoll::new()?;
        let reason = format!("{reason}; {}", epoll.timing());
        Ok(Reactor {
            backend: Backend::Epoll(epoll),
            info: Info { backend: "epoll", reason },
            stays_on_its_thread: PhantomData,
        })
    }

    /// Tries the operation without waiting.
    ///
    /// Costs the system call and a few nanoseconds, or only those where the direction is known not
    /// to be ready. Allocates nothing.
    pub fn attempt<O: Operation>(&self, op: &mut O) -> Attempt<io::Result<O::Output>> {
        let direction = op.direction();
        let spot = match self.driver().hint(op.source(), direction) {
            Hint::Try(spot) => spot,
            Hint::Wait if op.may_skip() => return Attempt::Wait,
            // The first call starts something; what it finds says nothing about the direction.
            Hint::Wait => None,
        };
        loop {
            let result = op.try_now();
            let found_nothing = match &result {
                Ok(output) => op.source().is_tcp() && op.drained(output),
                // A system call that does not wait is interrupted by a signal that came meanwhile
                // at most, so this ends.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if found_nothing && let Some(spot) = spot {
                self.driver().blocked(spot, direction);
            }
            return match result {
                Err(_) if found_nothing => Attempt::Wait,
                result => Attempt::Done(result),
            };
        }
    }

    /// Begins a wait for the operation, which [`attempt`](Reactor::attempt) has just said to do.
    ///
    /// Its completion carries `token`. The reactor makes a system call only when this is the first
    /// wait of this source here.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if this direction of the source has a waiter on this reactor already, and what
    /// the kernel says to a source that it cannot watch. Nothing has begun then.
    ///
    /// # Safety
    ///
    /// From this call until the wait has ended, `op` is not moved, dropped, or used, what it borrows
    /// stays borrowed (its destructor is not bypassed by `mem::forget` on a frame that goes away),
    /// and this reactor lives. The wait ends when [`poll`](Reactor::poll) returns its completion or
    /// [`cancel`](Reactor::cancel) answers [`Cancel::Done`].
    pub unsafe fn submit<O: Operation>(&self, op: &mut O, token: Token) -> io::Result<Ticket> {
        let request = op.request();
        let direction = op.direction();
        // SAFETY: the caller keeps `op` in place until the wait has ended, and the contract of
        // `Operation` says that the request's pointers are valid for as long. `op` borrows its
        // source, so that it stays open.
        unsafe { self.driver().submit(op.source(), direction, request, token) }
    }

    /// Ends a wait early if the back end can do so at once. See [`Cancel`].
    ///
    /// A wait that has ended already is left alone: the answer is [`Cancel::Done`], and a completion
    /// that `poll` has returned before stays true.
    pub fn cancel(&self, ticket: Ticket) -> Cancel {
        self.driver().cancel(ticket)
    }

    /// Appends the completions to `completions`; sleeps for at most `timeout` if there are none.
    ///
    /// It may return early and with nothing: a notification, a signal, or an event that nobody
    /// waited for. With [`Timeout::Now`] and nothing in flight it makes no system call. Allocates
    /// only when `completions` has to grow.
    ///
    /// # Errors
    ///
    /// Only what makes the reactor useless for good, such as an epoll fd that somebody closed.
    pub fn poll(&self, timeout: Timeout, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.driver().poll(timeout, completions)
    }

    /// How many waits have begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.driver().in_flight()
    }

    /// A handle that wakes [`poll`](Reactor::poll) from any thread.
    pub fn notifier(&self) -> Notifier {
        self.driver().notifier()
    }

    /// Which back end this is, and why.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// A snapshot of the counters.
    pub fn statistics(&self) -> Statistics {
        self.driver().statistics()
    }

    /// The one place that knows the back ends. It returns a concrete type as long as there is one.
    fn driver(&self) -> &Epoll {
        match &self.backend {
            Backend::Epoll(epoll) => epoll,
        }
    }
}
