//! What the operating system calls a thread for the time of one call.

use std::ffi::CString;

/// Gives the thread back its former name when it is dropped.
pub(super) struct NameGuard {
    former: Option<CString>,
}

impl NameGuard {
    /// The system keeps 15 bytes of a name (`PR_SET_NAME`, prctl(2)). One that it does not take is not set:
    /// a name is no reason to fail.
    pub(super) fn new(name: &str) -> NameGuard {
        let former = rustix::thread::name().ok();
        let name = CString::new(shortened(name)).unwrap_or_default();
        let is_set = rustix::thread::set_name(&name).is_ok();
        NameGuard { former: former.filter(|_| is_set) }
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        if let Some(former) = &self.former {
            let _ = rustix::thread::set_name(former);
        }
    }
}

/// At most 15 bytes, of whole characters, up to the first zero.
fn shortened(name: &str) -> &str {
    let name = name.split('\0').next().unwrap_or_default();
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

const NAME_BYTES_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(shortened("resolver"), "resolver");
        assert_eq!(shortened("0123456789abcdef"), "0123456789abcde");
        assert_eq!(shortened("0123456789abcdé"), "0123456789abcd");
        assert_eq!(shortened("before\0after"), "before");
        assert_eq!(shortened(""), "");
    }
}
