//! Addresses of Unix sockets: between those of the standard library, which users see, and those of the
//! system calls.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use conbrio_reactor::os::unix_address;
use rustix::net::SocketAddrUnix;
use socket2::SockAddr;

use crate::io::Error;
use crate::net::addrs::context;
use crate::task::Cx;

/// What is being done, for the messages of errors: "connect to /run/x".
pub(super) fn named(verb: &str, address: &SocketAddr, error: io::Error) -> io::Error {
    context(format!("{verb} {}", display(address)), error)
}

fn display(address: &SocketAddr) -> String {
    if let Some(path) = address.as_pathname() {
        return path.display().to_string();
    }
    match address.as_abstract_name() {
        Some(name) => format!("@{}", name.escape_ascii()),
        None => "an unnamed socket".to_owned(),
    }
}

/// The address of a path.
///
/// # Errors
///
/// `InvalidInput` if it is longer than 107 bytes or has a zero in it.
pub(super) fn of_path(verb: &str, path: &Path) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(path)
        .map_err(|error| context(format!("{verb} {}", path.display()), error))
}

/// For connect(2) as an operation.
pub(super) fn to_connect(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    match address.as_abstract_name() {
        Some(name) => {
            let with_zero: Vec<u8> = std::iter::once(0).chain(name.iter().copied()).collect();
            SockAddr::unix(OsString::from_vec(with_zero))
        }
        None => Err(unnamed()),
    }
}

/// For bind(2) and sendmsg(2).
pub(super) fn to_system(address: &SocketAddr) -> io::Result<SocketAddrUnix> {
    if let Some(path) = address.as_pathname() {
        return Ok(SocketAddrUnix::new(path)?);
    }
    match address.as_abstract_name() {
        Some(name) => Ok(SocketAddrUnix::new_abstract_name(name)?),
        None => Ok(SocketAddrUnix::new_unnamed()),
    }
}

/// The address that a socket is bound to.
pub(super) fn local(fd: impl AsFd) -> io::Result<SocketAddr> {
    Ok(unix_address(Some(rustix::net::getsockname(fd)?)))
}

/// The address that a socket is connected to.
pub(super) fn peer(fd: impl AsFd) -> io::Result<SocketAddr> {
    Ok(unix_address(rustix::net::getpeername(fd)?))
}

/// Refuses to make a socket with a name in a simulated run.
pub(super) fn real(cx: &Cx, verb: &str, address: &SocketAddr) -> Result<(), Error> {
    if cx.anchor().worker().reactor().network().is_none() {
        return Ok(());
    }
    let message = "there are no Unix sockets in a simulated run (use TCP there)";
    let error = io::Error::new(io::ErrorKind::Unsupported, message);
    Err(named(verb, address, error).into())
}

fn unnamed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "an unnamed socket cannot be connected to (take a path or an abstract name)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_same_there_and_back() {
        let path = SocketAddr::from_pathname("/tmp/x").unwrap();
        let long = SocketAddr::from_abstract_name([7; 107]).unwrap();
        let odd = SocketAddr::from_abstract_name(b"a\0b\0").unwrap();
        let nobody = unix_address(None);
        for address in [&path, &long, &odd, &nobody] {
            let back = unix_address(Some(to_system(address).unwrap().into()));
            assert_eq!(format!("{back:?}"), format!("{address:?}"));
            assert_eq!(back.is_unnamed(), address.is_unnamed());
        }
        for address in [&path, &long, &odd] {
            let back = to_connect(address).unwrap();
            assert_eq!(back.as_pathname(), address.as_pathname());
            assert_eq!(back.as_abstract_namespace(), address.as_abstract_name());
        }
        assert!(to_connect(&nobody).is_err());
    }
}
