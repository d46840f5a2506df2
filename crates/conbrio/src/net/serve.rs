//! The accept loop of a server: a task for each connection, and an end that loses none of them.
//!
//! Owns one nursery, with a child for each listener and one for each connection. The invariant: a
//! connection that was handed to the handler holds a [`Place`] until its handler has ended, so there are
//! never more of them than the options allow.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{TcpListener, TcpStream};
use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::ParkingLot;
use crate::nursery::NurseryError;
use crate::task::Cx;

/// Serves connections until it is asked to shut down: accepts them from all `listeners`, and calls
/// `handler` for each in a task of its own.
///
/// The handlers run on all workers and may borrow what is on the caller's stack. When a shutdown is
/// requested ([`CancelScope::shutdown`](crate::CancelScope::shutdown),
/// [`signal::shutdown_on_termination`](crate::signal::shutdown_on_termination)), the listeners are closed
/// at once, so that another process can take over the address; the handlers see it by
/// [`Cx::shutdown_requested`] and [`Cx::move_on_shutdown`], and this returns `Ok` when the last of them
/// has ended. A connection is closed when its handler drops the stream.
///
/// While the limit of open files or the memory for sockets is exhausted, it waits: it tries again every
/// 100 ms, and the connections wait in the system's queue. [`ServeOptions`] says how to hear of that, and
/// how to limit the number of connections.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel the listeners are closed, and the handlers are cancelled and waited for.
///
/// # Errors
///
/// An error that a handler returns ends the server: the other handlers are cancelled and joined, and all
/// errors are in the [`NurseryError`]. So a handler answers for what goes wrong with its own connection,
/// and returns only what concerns all of them, and cancellations. Other errors of accept(2) than those
/// above end it likewise, as `E::from`.
///
/// # Panics
///
/// A panic of a handler goes on in the caller, when all other handlers were cancelled and have ended.
///
/// # Examples
///
/// ```
/// use conbrio::net::serve;
/// use conbrio::prelude::*;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// fn count_visitors(cx: &mut Cx, listener: TcpListener) -> std::io::Result<()> {
///     let visitors = AtomicUsize::new(0);
///     Ok(serve(cx, [listener], |cx, mut incoming| {
///         let number = visitors.fetch_add(1, Ordering::Relaxed);
///         let line = format!("you are number {number}\n");
///         if let Err(error) = incoming.stream.write_all(cx, line.as_bytes()) {
///             println!("{}: {error}", incoming.peer);
///         }
///         Ok::<(), std::io::Error>(())
///     })?)
/// }
/// # conbrio::run(|cx| {
/// #     let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
/// #     let address = listener.local_addr().unwrap();
/// #     cx.nursery(|cx, n| -> std::io::Result<()> {
/// #         n.spawn(move |cx| count_visitors(cx, listener));
/// #         let mut stream = TcpStream::connect(cx, address)?;
/// #         stream.read_exact(cx, &mut [0; 17])?;
/// #         n.shutdown(std::time::Duration::from_secs(1));
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// # });
/// ```
pub fn serve<E, H>(
    cx: &mut Cx,
    listeners: impl IntoIterator<Item = TcpListener>,
    handler: H,
) -> Result<(), NurseryError<E>>
where
    E: MaybeCancelled + From<io::Error> + Send + 'static,
    H: Fn(&mut Cx, Incoming) -> Result<(), E> + Sync,
{
    ServeOptions::new().serve(cx, listeners, handler)
}

/// A connection that a server has accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The connection. Dropping it closes it.
    pub stream: TcpStream,
    /// The address of the other side.
    pub peer: SocketAddr,
    /// How many other connections had a handler at work when this one was accepted: a handler may send
    /// away whoever comes too many.
    pub others: usize,
}

/// How connections are served.
///
/// # Examples
///
/// ```
/// use conbrio::net::ServeOptions;
/// use conbrio::prelude::*;
///
/// fn echo(cx: &mut Cx, listener: TcpListener) -> std::io::Result<()> {
///     let options = ServeOptions::new()
///         .connections_max(1000)
///         .on_shortage(|error| eprintln!("no more connections for now: {error}"));
///     Ok(options.serve(cx, [listener], |cx, mut incoming| {
///         let (mut reader, mut writer) = incoming.stream.split();
///         let _ = conbrio::io::copy(cx, &mut reader, &mut writer);
///         Ok::<(), std::io::Error>(())
///     })?)
/// }
/// # conbrio::run(|cx| {
/// #     let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
/// #     let address = listener.local_addr().unwrap();
/// #     cx.nursery(|cx, n| -> std::io::Result<()> {
/// #         n.spawn(move |cx| echo(cx, listener));
/// #         let mut stream = TcpStream::connect(cx, address)?;
/// #         stream.write_all(cx, b"ho")?;
/// #         stream.read_exact(cx, &mut [0; 2])?;
/// #         n.shutdown(std::time::Duration::from_secs(1));
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// # });
/// ```
#[must_use = "options do nothing until `serve` is called"]
pub struct ServeOptions<'a> {
    connections_max: usize,
    connection_timeout: Option<Duration>,
    on_shortage: Box<dyn Fn(&io::Error) + Sync + 'a>,
}

impl<'a> ServeOptions<'a> {
    /// Any number of connections, for as long as they like, and nothing is said about a shortage.
    pub fn new() -> ServeOptions<'a> {
        ServeOptions {
            connections_max: usize::MAX,
            connection_timeout: None,
            on_shortage: Box::new(|_| ()),
        }
    }

    /// How many connections may have a handler at once. Beyond that the next one waits for a place; the
    /// others stay in the system's queue. Whatever still waits when a shutdown is requested is closed
    /// without having been handled.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn connections_max(mut self, connections: usize) -> ServeOptions<'a> {
        assert!(connections > 0, "at most 0 connections: allow at least one");
        self.connections_max = connections;
        self
    }

    /// How long a connection may be served: after that its handler is cancelled, and the server goes on.
    ///
    /// The time begins when the handler does. For limits of parts, such as the time between two requests,
    /// the handler has [`Cx::fail_after`] and its kin.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::ServeOptions;
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// fn listen_patiently(cx: &mut Cx, listener: TcpListener) -> std::io::Result<()> {
    ///     let options = ServeOptions::new().connection_timeout(Duration::from_secs(60));
    ///     Ok(options.serve(cx, [listener], |cx, mut incoming| -> std::io::Result<()> {
    ///         let _said = incoming.stream.read(cx, &mut [0])?;
    ///         Ok(())
    ///     })?)
    /// }
    /// # conbrio::testing::run(|cx| {
    /// #     let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    /// #     let address = listener.local_addr().unwrap();
    /// #     cx.nursery(|cx, n| -> std::io::Result<()> {
    /// #         n.spawn(move |cx| listen_patiently(cx, listener));
    /// #         let mut silent = TcpStream::connect(cx, address)?;
    /// #         assert_eq!(silent.read(cx, &mut [0])?, 0);
    /// #         n.shutdown(Duration::from_secs(1));
    /// #         Ok(())
    /// #     })
    /// #     .unwrap();
    /// # });
    /// ```
    pub fn connection_timeout(mut self, limit: Duration) -> ServeOptions<'a> {
        self.connection_timeout = Some(limit);
        self
    }

    /// What is called with the error of accept(2) when a connection could not be had for want of files or
    /// memory. It is tried again after 100 ms.
    pub fn on_shortage(mut self, f: impl Fn(&io::Error) + Sync + 'a) -> ServeOptions<'a> {
        self.on_shortage = Box::new(f);
        self
    }

    /// As [`serve`], with these options.
    ///
    /// # Cancellation
    ///
    /// As [`serve`].
    ///
    /// # Errors
    ///
    /// As [`serve`].
    ///
    /// # Panics
    ///
    /// As [`serve`].
    pub fn serve<E, H>(
        &self,
        cx: &mut Cx,
        listeners: impl IntoIterator<Item = TcpListener>,
        handler: H,
    ) -> Result<(), NurseryError<E>>
    where
        E: MaybeCancelled + From<io::Error> + Send + 'static,
        H: Fn(&mut Cx, Incoming) -> Result<(), E> + Sync,
    {
        let places = Places::new(self.connections_max);
        let (places, handler) = (&places, &handler);
        cx.nursery(|cx, n| {
            cx.checkpoint().map_err(io::Error::from)?;
            for mut listener in listeners {
                n.task("accept").spawn(move |cx| {
                    let served = cx.move_on_shutdown(|cx| -> Result<(), E> {
                        loop {
                            let (stream, peer) = self.accept(cx, &mut listener)?;
                            let (place, others) = places.take(cx).map_err(io::Error::from)?;
                            n.task("connection").spawn(move |cx| {
                                let _place = place;
                                let incoming = Incoming { stream, peer, others };
                                match self.connection_timeout {
                                    Some(limit) => {
                                        let handle = |cx: &mut Cx| handler(cx, incoming);
                                        cx.move_on_after(limit, handle).map(|_| ())
                                    }
                                    None => handler(cx, incoming),
                                }
                            });
                        }
                    });
                    served.map(|_| ())
                });
            }
            Ok(())
        })
    }

    /// The next connection, as soon as there is one and it can be had.
    fn accept(
        &self,
        cx: &mut Cx,
        listener: &mut TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match listener.accept(cx) {
                Err(OrCancelled::Failed(error)) if is_shortage(&error) => {
                    (self.on_shortage)(&error);
                    cx.sleep(PAUSE)?;
                }
                result => return Ok(result?),
            }
        }
    }
}

impl Default for ServeOptions<'_> {
    fn default() -> Self {
        ServeOptions::new()
    }
}

impl fmt::Debug for ServeOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("connections_max", &self.connections_max)
            .field("connection_timeout", &self.connection_timeout)
            .finish_non_exhaustive()
    }
}

/// Whether an error of accept(2) says that files or memory have run out, which passes. The connection is
/// still in the queue, so the next call fails at once: hence the pause.
fn is_shortage(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    matches!(number, Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Long enough to cost nothing, short enough that few clients give up meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections have a handler, and those who wait for one to end.
struct Places {
    taken: ParkingLot<usize>,
    max: usize,
}

impl Places {
    fn new(max: usize) -> Places {
        Places { taken: ParkingLot::with_state(0).named("the end of a connection"), max }
    }

    /// Takes a place, as soon as there is one, and says how many were taken before.
    fn take(&self, cx: &mut Cx) -> Result<(Place<'_>, usize), Cancelled> {
        loop {
            let mut taken = self.taken.lock();
            if *taken < self.max {
                *taken += 1;
                return Ok((Place(self), *taken - 1));
            }
            taken.park(cx, &mut ()).map_err(|error| match error {
                OrCancelled::Cancelled(cancelled) => cancelled,
                OrCancelled::Failed(_) => unreachable!("nobody breaks this lot"),
            })?;
        }
    }
}

/// Given back when it is dropped, also by a panic.
struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock();
        *taken -= 1;
        taken.unpark(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_from_what_does_not_pass() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(is_shortage(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        for errno in [libc::EBADF, libc::EINVAL, libc::ECONNABORTED] {
            assert!(!is_shortage(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
    }
}
