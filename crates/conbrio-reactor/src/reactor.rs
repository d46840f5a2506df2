//! The reactor that a worker owns: one of the back ends, chosen at run time, or a simulated one.
//!
//! This file owns the choice and the generic loop around a system call ([`Reactor::attempt`]). What
//! waiting means is the back end's. The invariant: a reactor stays on the thread that made it.

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;

use crate::driver::{Cancel, Driver, Hint, Ticket, Timeout};
use crate::epoll::Epoll;
use crate::lend::Lender;
use crate::op::file::FileOperation;
use crate::os::{self, ListenOptions};
use crate::sim::{self, HostId, Network, Simulated};
use crate::uring::{RingOptions, Uring};
use crate::{Completion, Notifier, Operation, Source, Statistics, Token};

/// Which back end a reactor uses.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
#[non_exhaustive]
pub enum Choice {
    /// The best one that this machine allows.
    #[default]
    Auto,
    /// epoll(7).
    Epoll,
    /// io_uring(7), or an error that says why not.
    Uring,
    /// io_uring(7) where it is good enough, and epoll(7) where it is not; [`Info::refused`] says why.
    PreferUring,
}

/// What a reactor is and why, for logs.
#[derive(Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Name of the back end, such as `epoll`.
    pub backend: &'static str,
    /// Why this back end was chosen, in words.
    pub reason: String,
    /// Why another one, which would have been preferred, cannot be used on this machine.
    pub refused: Option<String>,
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
    lender: Lender,
    /// A ring belongs to the thread that made it, and the readiness bits of epoll are unshared.
    stays_on_its_thread: PhantomData<*const ()>,
}

// One lives in each worker, and epoll is what nearly all of them have: no indirection for it.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Backend {
    Epoll(Epoll),
    Uring(Box<Uring>),
    Simulated(Box<Simulated>),
}

impl Reactor {
    /// Makes a reactor for the calling thread.
    ///
    /// # Errors
    ///
    /// If the kernel refuses what the back end needs; most often the limit of open files is reached.
    /// With [`Choice::Uring`] also if this machine has no io_uring, or none that is good enough.
    pub fn new(choice: Choice) -> io::Result<Reactor> {
        Reactor::with_ring(choice, RingOptions::new())
    }

    /// As [`new`](Reactor::new), with the sizes of the ring if it becomes one.
    ///
    /// # Errors
    ///
    /// As [`new`](Reactor::new).
    pub fn with_ring(choice: Choice, ring: RingOptions) -> io::Result<Reactor> {
        match choice {
            // Measured equal for sockets: docs/design/0014-io-uring.md says what would change this.
            Choice::Auto => Reactor::on_epoll("it is preferred for now", None),
            Choice::PreferUring => match Uring::new(ring) {
                Ok(uring) => Ok(Reactor::on_uring(uring, "this machine has it")),
                Err(refusal) => {
                    Reactor::on_epoll("io_uring cannot be used", Some(refusal.to_string()))
                }
            },
            Choice::Epoll => Reactor::on_epoll("it was asked for", None),
            Choice::Uring => Ok(Reactor::on_uring(Uring::new(ring)?, "it was asked for")),
        }
    }

    fn on_epoll(why: &str, refused: Option<String>) -> io::Result<Reactor> {
        let epoll = Epoll::new()?;
        let detail = refused.as_deref().map(|refused| format!(": {refused}")).unwrap_or_default();
        let reason = format!("{why}{detail}; {}", epoll.timing());
        let info = Info { backend: "epoll", reason, refused };
        Ok(Reactor::with(Backend::Epoll(epoll), info, Lender::default()))
    }

    fn on_uring(uring: Uring, why: &str) -> Reactor {
        let reason = format!("{why}; {}", uring.timing());
        let info = Info { backend: "uring", reason, refused: None };
        let lender = uring.lender().clone();
        Reactor::with(Backend::Uring(Box::new(uring)), info, lender)
    }

    fn with(backend: Backend, info: Info, lender: Lender) -> Reactor {
        Reactor { backend, info, lender, stays_on_its_thread: PhantomData }
    }

    /// Makes a reactor on a simulated network. It never sleeps, and performs operations only on sources
    /// that it or another reactor of the same network has made; those of others fail with
    /// `Unsupported`.
    ///
    /// # Errors
    ///
    /// If there is no fd for its [`notifier`](Reactor::notifier).
    pub fn simulated(network: &Network) -> io::Result<Reactor> {
        let backend = Backend::Simulated(Box::new(Simulated::new(network)?));
        let reason = "it was asked for".to_owned();
        let info = Info { backend: "simulated", reason, refused: None };
        Ok(Reactor::with(backend, info, Lender::default()))
    }

    /// Lets a simulated reactor work on another network from now on, so that many short simulations need
    /// not make their reactors anew. The counters go on.
    ///
    /// # Panics
    ///
    /// If the reactor is not simulated, or waits are in flight.
    #[track_caller]
    pub fn join(&mut self, network: &Network) {
        assert!(
            self.in_flight() == 0,
            "a reactor joins another network only with nothing in flight"
        );
        match &mut self.backend {
            Backend::Epoll(_) | Backend::Uring(_) => {
                panic!("only a simulated reactor can join a network")
            }
            Backend::Simulated(simulated) => simulated.join(network),
        }
    }

    /// The network of a simulated reactor.
    #[must_use]
    pub fn network(&self) -> Option<&Network> {
        match &self.backend {
            Backend::Epoll(_) | Backend::Uring(_) => None,
            Backend::Simulated(simulated) => Some(simulated.network()),
        }
    }

    /// A TCP socket that listens at `address`, see [`os::tcp_listener`]. `host` is whose it is if the
    /// reactor is simulated, and means nothing if not.
    ///
    /// # Errors
    ///
    /// As [`os::tcp_listener`].
    pub fn tcp_listener(
        &self,
        host: HostId,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<Source> {
        match self.network() {
            None => os::tcp_listener(address, options),
            Some(network) => sim::tcp_listener(network, host, address, options),
        }
    }

    /// A TCP socket that is not connected, see [`os::tcp_socket`]; `host` as for
    /// [`tcp_listener`](Reactor::tcp_listener).
    ///
    /// # Errors
    ///
    /// As [`os::tcp_socket`].
    pub fn tcp_socket(&self, host: HostId, peer: SocketAddr) -> io::Result<Source> {
        match self.network() {
            None => os::tcp_socket(peer),
            Some(network) => sim::tcp_socket(network, host, peer),
        }
    }

    /// A UDP socket bound to `address`, see [`os::udp_socket`]; `host` as for
    /// [`tcp_listener`](Reactor::tcp_listener).
    ///
    /// # Errors
    ///
    /// As [`os::udp_socket`].
    pub fn udp_socket(&self, host: HostId, address: SocketAddr) -> io::Result<Source> {
        match self.network() {
            None => os::udp_socket(address),
            Some(network) => sim::udp_socket(network, host, address),
        }
    }

    /// Tries the operation without waiting.
    ///
    /// Costs the system call and a few nanoseconds, or only those where the direction is known not
    /// to be ready. Allocates nothing.
    pub fn attempt<O: Operation>(&self, op: &mut O) -> Attempt<io::Result<O::Output>> {
        match &self.backend {
            Backend::Epoll(epoll) => try_on(epoll, op),
            Backend::Uring(uring) => try_on(&**uring, op),
            Backend::Simulated(simulated) => simulated.attempt(op),
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
        unsafe {
            match &self.backend {
                Backend::Epoll(epoll) => epoll.submit(op.source(), direction, request, token),
                Backend::Uring(uring) => uring.submit(op.source(), direction, request, token),
                Backend::Simulated(simulated) => {
                    simulated.submit(op.source(), direction, request, token)
                }
            }
        }
    }

    /// Whether [`submit_file`](Reactor::submit_file) performs operations on files. If not, a thread has
    /// to ([`FileOperation::perform`]). Makes no system call, and never changes.
    #[inline]
    pub fn performs_files(&self) -> bool {
        matches!(self.backend, Backend::Uring(_))
    }

    /// Begins an operation on a file. Its completion carries `token` and is [`Outcome::Done`], or
    /// [`Outcome::Ready`] if it was interrupted without effect and has to be submitted again.
    ///
    /// [`Outcome::Done`]: crate::Outcome::Done
    /// [`Outcome::Ready`]: crate::Outcome::Ready
    ///
    /// # Errors
    ///
    /// `Unsupported` unless this reactor [performs](Reactor::performs_files) them. Nothing has begun then.
    ///
    /// # Safety
    ///
    /// As for [`submit`](Reactor::submit).
    pub unsafe fn submit_file<O: FileOperation>(
        &self,
        op: &mut O,
        token: Token,
    ) -> io::Result<Ticket> {
        let Backend::Uring(uring) = &self.backend else {
            let backend = self.info.backend;
            let message = format!(
                "perform an operation on a file: a reactor on {backend} does not (let a thread perform it)"
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        };
        let request = op.request();
        // SAFETY: the caller keeps `op` in place until the wait has ended, and the contract of
        // `FileOperation` says that the request's pointers and fds are valid for as long.
        Ok(unsafe { uring.submit_file(&request, token) })
    }

    /// Ends a wait early if the back end can do so at once. See [`Cancel`].
    ///
    /// A wait that has ended already is left alone: the answer is [`Cancel::Done`], and a completion
    /// that `poll` has returned before stays true.
    pub fn cancel(&self, ticket: Ticket) -> Cancel {
        match &self.backend {
            Backend::Epoll(epoll) => epoll.cancel(ticket),
            Backend::Uring(uring) => uring.cancel(ticket),
            Backend::Simulated(simulated) => simulated.cancel(ticket),
        }
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
        match &self.backend {
            Backend::Epoll(epoll) => epoll.poll(timeout, completions),
            Backend::Uring(uring) => uring.poll(timeout, completions),
            Backend::Simulated(simulated) => simulated.poll(timeout, completions),
        }
    }

    /// How many waits have begun and not ended.
    pub fn in_flight(&self) -> usize {
        match &self.backend {
            Backend::Epoll(epoll) => epoll.in_flight(),
            Backend::Uring(uring) => uring.in_flight(),
            Backend::Simulated(simulated) => simulated.in_flight(),
        }
    }

    /// The buffers of this reactor, for [`op::RecvLent`](crate::op::RecvLent).
    pub fn lender(&self) -> &Lender {
        &self.lender
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

    /// The back end, for what is rare. What is frequent matches on it, so that epoll's code is inlined.
    fn driver(&self) -> &dyn Driver {
        match &self.backend {
            Backend::Epoll(epoll) => epoll,
            Backend::Uring(uring) => &**uring,
            Backend::Simulated(simulated) => &**simulated,
        }
    }
}

/// Makes the system call, unless the driver knows that it finds nothing, and tells it what was found.
#[inline]
fn try_on<D: Driver, O: Operation>(driver: &D, op: &mut O) -> Attempt<io::Result<O::Output>> {
    let direction = op.direction();
    let spot = match driver.hint(op.source(), direction) {
        Hint::Try(spot) => spot,
        Hint::Wait if op.may_skip() => return Attempt::Wait,
        // The first call starts something; what it finds says nothing about the direction.
        Hint::Wait => None,
    };
    loop {
        let result = op.try_now();
        match &result {
            Ok(output) => {
                if op.source().is_tcp()
                    && op.drained(output)
                    && let Some(spot) = spot
                {
                    driver.drained(spot, direction);
                }
            }
            // A system call that does not wait is interrupted by a signal that came meanwhile at most,
            // so this ends.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(spot) = spot {
                    driver.blocked(spot, direction);
                }
                return Attempt::Wait;
            }
            Err(_) => {}
        }
        return Attempt::Done(result);
    }
}
