//! Trying several addresses: one after the other, and what is reported when none was of use.
//!
//! Owns the words of such errors. The invariant: [`AddressErrors`] names at least one address.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::io::Error;
use crate::task::Cx;

/// What was wrong with each of the addresses that were tried.
///
/// It is inside the [`std::io::Error`] that [`TcpStream::connect`](crate::net::TcpStream::connect),
/// [`TcpListener::bind`](crate::net::TcpListener::bind) and their kin fail with when no address was of use;
/// [`AddressErrors::of`] finds it there. The kind of that error is the kind of the last.
///
/// # Examples
///
/// ```
/// use conbrio::net::AddressErrors;
/// use conbrio::prelude::*;
/// use std::io::ErrorKind;
///
/// conbrio::testing::run(|cx| {
///     // Nobody listens there.
///     let error = TcpStream::connect(cx, "127.0.0.1:9").unwrap_err().into_failed().unwrap();
///     let errors = AddressErrors::of(&error).unwrap();
///     let kinds: Vec<ErrorKind> = errors.iter().map(|(_, error)| error.kind()).collect();
///     assert_eq!(kinds, [ErrorKind::ConnectionRefused]);
/// });
/// ```
#[derive(Debug)]
pub struct AddressErrors {
    /// Never empty. In the order in which they have failed.
    errors: Vec<(SocketAddr, io::Error)>,
}

impl AddressErrors {
    /// Looks for it in an error of this crate.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&AddressErrors> {
        error.get_ref()?.downcast_ref()
    }

    /// The addresses that were tried, each with what was wrong there, in the order in which they have failed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SocketAddr, &io::Error)> {
        self.errors.iter().map(|(address, error)| (*address, error))
    }

    /// How many addresses were tried; at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    fn last(&self) -> &io::Error {
        &self.errors.last().expect("it is never empty").1
    }
}

impl fmt::Display for AddressErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (_, error)) in self.errors.iter().enumerate() {
            // Each says by itself which address it is about.
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for AddressErrors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.errors.len() {
            // Its own words are all that is displayed here, and need not come twice.
            1 => self.last().get_ref().and_then(|error| error.source()),
            _ => Some(self.last()),
        }
    }
}

/// The error of `what` that has tried these addresses, or had none to try.
pub(in crate::net) fn none_of_use(what: &str, errors: Vec<(SocketAddr, io::Error)>) -> io::Error {
    match errors.last() {
        None => {
            let message = format!("{what}: there is no address to try");
            io::Error::new(io::ErrorKind::NotFound, message)
        }
        Some((_, last)) => io::Error::new(last.kind(), AddressErrors { errors }),
    }
}

/// Tries each address until `attempt` succeeds with one; its errors name the address. A cancellation ends
/// it at once.
pub(in crate::net) fn try_each<T>(
    cx: &mut Cx,
    what: &str,
    addrs: Vec<SocketAddr>,
    mut attempt: impl FnMut(&mut Cx, SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut errors = Vec::new();
    for address in addrs {
        match attempt(cx, address).map_err(Error::into_failed) {
            Ok(done) => return Ok(done),
            Err(Err(cancelled)) => return Err(cancelled.into()),
            Err(Ok(error)) => errors.push((address, error)),
        }
    }
    Err(none_of_use(what, errors).into())
}

/// Says what was being done to an error. The kind stays, and the error is the source.
pub(in crate::net) fn context(what: String, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Context { what, source })
}

#[derive(Debug)]
struct Context {
    what: String,
    source: io::Error,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl std::error::Error for Context {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
