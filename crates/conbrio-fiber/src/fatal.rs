//! The last words of a process: text to standard error without locks or allocation, then abort.
//!
//! Used where unwinding would leave dangling borrows, and inside signal handlers, where nothing
//! that locks or allocates may be called (signal-safety(7)).

/// Writes `message` to standard error, as far as it can be written.
pub(crate) fn write_stderr(message: &[u8]) {
    let mut rest = message;
    while !rest.is_empty() {
        // SAFETY: `rest` is readable for its length; write(2) is async-signal-safe.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            // A closed or full standard error must not keep the process from ending, so every
            // error ends the loop; each other turn makes `rest` shorter.
            Ok(0) | Err(_) => return,
            Ok(written) => rest = &rest[written..],
        }
    }
}

/// Ends the process with SIGABRT after writing `message`.
#[cold]
pub(crate) fn abort_with(message: &str) -> ! {
    write_stderr(message.as_bytes());
    // SAFETY: abort(3) takes no arguments and is async-signal-safe.
    unsafe { libc::abort() }
}
