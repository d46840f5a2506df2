//! Listening at several addresses at once.
//!
//! Owns the rules of a set of listeners: all or none, but for families that the machine does not have; one
//! port for those that leave it open. How a listener is made does not matter here, so that the tests below
//! can let it go wrong.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::{ListenOptions, TcpListener};
use crate::io::Error;
use crate::net::ToAddrs;
use crate::net::addrs::none_of_use;
use crate::task::Cx;

/// Listens at all of the addresses: a listener for each, for [`serve`](crate::net::serve()). For options see
/// [`ListenOptions::listen`].
///
/// For a name with several addresses, and for [`Wildcard`](crate::net::Wildcard), which is every address of this
/// machine. Addresses of a family that the machine does not have are left out, if another one is left.
/// Listeners whose port is 0 get the same port, chosen by the system. Those for IPv6 do not hear IPv4.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel nothing was bound.
///
/// # Errors
///
/// What was wrong with the first address at which listening was impossible, most often `AddrInUse`; the
/// others have been closed then. If the machine has none of the families,
/// [all errors](crate::net::AddressErrors).
///
/// # Examples
///
/// ```
/// use conbrio::net::{listen, serve};
/// use conbrio::prelude::*;
///
/// fn greet(cx: &mut Cx, listeners: Vec<TcpListener>) -> std::io::Result<()> {
///     Ok(serve(cx, listeners, |cx, mut incoming| {
///         let _ = incoming.stream.write_all(cx, b"hello\n");
///         Ok::<(), std::io::Error>(())
///     })?)
/// }
///
/// # conbrio::run(|cx| {
/// #     cx.nursery(|cx, n| -> std::io::Result<()> {
/// let listeners = listen(cx, "localhost:0")?;
/// let port = listeners[0].local_addr()?.port();
/// n.spawn(move |cx| greet(cx, listeners));
/// let mut stream = TcpStream::connect(cx, ("localhost", port))?;
/// stream.read_exact(cx, &mut [0; 6])?;
/// #         n.shutdown(std::time::Duration::from_secs(1));
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// # });
/// ```
pub fn listen(cx: &mut Cx, address: impl ToAddrs) -> Result<Vec<TcpListener>, Error> {
    ListenOptions::new().listen(cx, address)
}

impl ListenOptions {
    /// As [`listen`], with these options.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// As [`listen`].
    pub fn listen(&self, cx: &mut Cx, address: impl ToAddrs) -> Result<Vec<TcpListener>, Error> {
        cx.checkpoint()?;
        let addrs = address.to_addrs(cx)?;
        let mut options = self.clone();
        options.options.only_v6.get_or_insert(true);
        let bind = |address| Ok(TcpListener { source: options.make(cx, address)? });
        Ok(bind_all(&addrs, bind, |listener| Ok(listener.local_addr()?.port()))?)
    }
}

/// Binds each of the addresses. Those that leave their port open get one port, which the system chooses for
/// the first of them; where it is taken for another one, all begin again with a new port.
fn bind_all<T>(
    addrs: &[SocketAddr],
    mut bind: impl FnMut(SocketAddr) -> io::Result<T>,
    port_of: impl Fn(&T) -> io::Result<u16>,
) -> io::Result<Vec<T>> {
    for round in 1.. {
        match bind_round(addrs, &mut bind, &port_of) {
            Err(Fault::PortTaken(_)) if round < ROUNDS => {}
            Err(Fault::PortTaken(error) | Fault::Other(error)) => return Err(error),
            Ok(made) => return Ok(made),
        }
    }
    unreachable!("the last round returns")
}

/// More than this many free ports in a row that are not free in the other family: then there is more to it.
const ROUNDS: u32 = 16;

enum Fault {
    /// A port that the system has chosen is taken elsewhere.
    PortTaken(io::Error),
    Other(io::Error),
}

fn bind_round<T>(
    addrs: &[SocketAddr],
    bind: &mut impl FnMut(SocketAddr) -> io::Result<T>,
    port_of: &impl Fn(&T) -> io::Result<u16>,
) -> Result<Vec<T>, Fault> {
    let (mut made, mut unavailable) = (Vec::new(), Vec::new());
    let mut done: Vec<SocketAddr> = Vec::new();
    // The port that was chosen, and the addresses that have it.
    let mut chosen = None;
    let mut have_it: Vec<IpAddr> = Vec::new();
    for address in addrs {
        if address.port() != 0 && done.contains(address) {
            // A name may have an address twice, which would be in its own way.
            continue;
        }
        let mut target = *address;
        // Who lists one address several times wants several ports.
        let is_shared = address.port() == 0 && !have_it.contains(&address.ip());
        if let Some(port) = chosen.filter(|_| is_shared) {
            target.set_port(port);
        }
        match bind(target) {
            Ok(listener) => {
                if is_shared {
                    chosen = Some(port_of(&listener).map_err(Fault::Other)?);
                    have_it.push(address.ip());
                }
                done.push(*address);
                made.push(listener);
            }
            Err(error) if lacks_family(&error) => unavailable.push((*address, error)),
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && target.port() != address.port() =>
            {
                return Err(Fault::PortTaken(error));
            }
            Err(error) => return Err(Fault::Other(error)),
        }
    }
    if made.is_empty() {
        return Err(Fault::Other(none_of_use("listen", unavailable)));
    }
    Ok(made)
}

/// Whether the machine knows nothing of the family of an address, as a kernel without IPv6.
fn lacks_family(error: &io::Error) -> bool {
    let mut error = Some(error);
    // Ends: an error is not its own source.
    while let Some(current) = error {
        if current.raw_os_error() == Some(libc::EAFNOSUPPORT) {
            return true;
        }
        error = current.get_ref().and_then(|inner| inner.source()?.downcast_ref::<io::Error>());
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::net::AddressErrors;
    use crate::net::addrs::context;

    /// A listener that is counted as open until it is dropped.
    struct Made<'a> {
        address: SocketAddr,
        open: &'a Cell<usize>,
    }

    impl Drop for Made<'_> {
        fn drop(&mut self) {
            self.open.set(self.open.get() - 1);
        }
    }

    fn bind_with(
        addrs: &[&str],
        mut bind: impl FnMut(SocketAddr) -> Result<u16, i32>,
    ) -> io::Result<Vec<SocketAddr>> {
        let addrs: Vec<SocketAddr> = addrs.iter().map(|text| text.parse().unwrap()).collect();
        let open = Cell::new(0);
        let bind = |mut address: SocketAddr| match bind(address) {
            Ok(port) => {
                address.set_port(port);
                open.set(open.get() + 1);
                Ok(Made { address, open: &open })
            }
            Err(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                Err(context(format!("listen on {address}"), error))
            }
        };
        let made = bind_all(&addrs, bind, |made| Ok(made.address.port()));
        let made = made.map(|made| made.iter().map(|made| made.address).collect());
        assert_eq!(open.get(), 0, "of those that were made");
        made
    }

    // spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_multiple_host_cleanup_on_error
    #[test]
    fn one_that_fails_closes_the_others() {
        let error = bind_with(&["1.1.1.1:80", "2.2.2.2:80", "3.3.3.3:80"], |address| {
            if address.ip().to_string() == "3.3.3.3" { Err(libc::EADDRNOTAVAIL) } else { Ok(80) }
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(error.to_string().starts_with("listen on 3.3.3.3:80: "), "{error}");
    }

    // spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_some_address_families_unavailable
    #[test]
    fn a_family_that_the_machine_lacks_is_left_out() {
        for lacks_v6 in [true, false] {
            let made = bind_with(&["[::]:80", "0.0.0.0:80"], |address| {
                if address.is_ipv6() == lacks_v6 { Err(libc::EAFNOSUPPORT) } else { Ok(80) }
            });
            let made = made.unwrap();
            assert_eq!(made.len(), 1);
            assert_ne!(made[0].is_ipv6(), lacks_v6);
        }
        let error = bind_with(&["[::]:80", "0.0.0.0:80"], |_| Err(libc::EAFNOSUPPORT)).unwrap_err();
        let errors = AddressErrors::of(&error).unwrap();
        assert_eq!(errors.len(), 2);
        assert!(error.to_string().contains("[::]:80"), "{error}");
        assert!(error.to_string().contains("0.0.0.0:80"), "{error}");
    }

    // spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_socket_fails_not_afnosupport
    #[test]
    fn other_errors_of_a_family_come_out() {
        let error = bind_with(&["[::]:80", "0.0.0.0:80"], |address| {
            if address.is_ipv6() { Err(libc::EINVAL) } else { Ok(80) }
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_port_that_is_left_open_is_the_same_for_all() {
        // What the system chooses first is taken in the other family.
        let (asked, mut next) = (RefCell::new(Vec::new()), 1000);
        let made = bind_with(&["[::]:0", "0.0.0.0:0", "1.1.1.1:7"], |address| {
            asked.borrow_mut().push(address.to_string());
            match address.port() {
                0 => {
                    next += 1;
                    Ok(next)
                }
                1001 => Err(libc::EADDRINUSE),
                port => Ok(port),
            }
        });
        assert_eq!(made.unwrap().iter().map(SocketAddr::port).collect::<Vec<_>>(), [1002, 1002, 7]);
        assert_eq!(
            asked.into_inner(),
            ["[::]:0", "0.0.0.0:1001", "[::]:0", "0.0.0.0:1002", "1.1.1.1:7"]
        );
        // There is an end to that, and one that was asked for is not asked for again.
        let mut tries = 0;
        let error = bind_with(&["[::]:0", "0.0.0.0:0"], |address| {
            tries += 1;
            if address.port() == 0 { Ok(tries) } else { Err(libc::EADDRINUSE) }
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(u32::from(tries), 2 * ROUNDS);
        let mut tries = 0;
        let error = bind_with(&["[::]:7"], |_| {
            tries += 1;
            Err(libc::EADDRINUSE)
        });
        assert_eq!((error.unwrap_err().kind(), tries), (io::ErrorKind::AddrInUse, 1));
    }

    #[test]
    fn an_address_that_comes_twice() {
        let made = bind_with(&["1.1.1.1:80", "1.1.1.1:80"], |_| Ok(80)).unwrap();
        assert_eq!(made.len(), 1);
        let mut next = 1000;
        let made = bind_with(&["1.1.1.1:0", "1.1.1.1:0", "2.2.2.2:0"], |address| {
            next += u16::from(address.port() == 0);
            Ok(if address.port() == 0 { next } else { address.port() })
        });
        assert_eq!(
            made.unwrap().iter().map(SocketAddr::port).collect::<Vec<_>>(),
            [1001, 1002, 1001]
        );
    }
}
