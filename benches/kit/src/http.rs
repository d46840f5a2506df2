//! What clients and servers of the benches say to each other.

/// Bytes of the buffer that a server reads into.
pub const BUF_BYTES: usize = 4096;

/// Bytes of an echo's request, and so of its answer.
pub const ECHO_BYTES: usize = 64;

/// The request of the plain-text question.
pub const REQUEST: &[u8] =
    b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: text/plain\r\n\r\n";

/// The text that is asked for.
pub const TEXT: &str = "Hello, World!";

/// The answer of a server that writes it by hand. Those that write headers of their own send a few more.
pub const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
