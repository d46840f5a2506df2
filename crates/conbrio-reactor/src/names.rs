//! Names of addresses: the one question to the system's resolver for which the standard library has no
//! function.
//!
//! It blocks, and belongs on a thread that may do so.

use std::ffi::{CStr, c_char};
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockAddr;

/// The name that the system has for an address, as getnameinfo(3) says. Blocks.
///
/// # Errors
///
/// `NotFound` if it has none; otherwise what the resolver says.
pub fn name_of(address: IpAddr) -> io::Result<String> {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    let mut name: [c_char; NAME_BYTES] = [0; NAME_BYTES];
    // SAFETY: the address is valid for its length, and the name for its own; no service is asked for, so
    // that its buffer may be null. Nothing is kept beyond the call.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            name.as_mut_ptr(),
            NAME_BYTES as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    match code {
        // SAFETY: on success the call has written a string with its NUL into the array.
        0 => Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned()),
        libc::EAI_SYSTEM => Err(io::Error::last_os_error()),
        libc::EAI_NONAME => Err(io::Error::new(io::ErrorKind::NotFound, "it has no name")),
        other => {
            // SAFETY: it returns a static string for every number.
            let text = unsafe { CStr::from_ptr(libc::gai_strerror(other)) };
            Err(io::Error::other(text.to_string_lossy()))
        }
    }
}

/// `NI_MAXHOST` of getnameinfo(3): more than a name of the domain system has.
const NAME_BYTES: usize = 1025;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_has_a_name_in_etc_hosts() {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut lines = hosts.lines().map(|line| line.split_whitespace());
        let entered =
            lines.find_map(|mut words| (words.next() == Some("127.0.0.1")).then_some(words));
        let Some(mut names) = entered else {
            println!("SKIPPED: /etc/hosts has no line for 127.0.0.1");
            return;
        };
        let name = name_of(IpAddr::from([127, 0, 0, 1])).unwrap();
        assert_eq!(names.next(), Some(name.as_str()));
    }
}
