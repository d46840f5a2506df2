//! What clients and servers of the questions about TLS have in common.

use std::io;

/// The variable with the certificate of all servers, in the format PEM.
pub const CERTIFICATE: &str = "BENCH_CERTIFICATE";
/// The variable with its key.
pub const KEY: &str = "BENCH_KEY";
/// Whom the certificate is for.
pub const HOST: &str = "bench.example.org";
/// Bytes of a request.
pub const REQUEST_BYTES: usize = 64;
/// The most that a request asks for.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks for so many bytes.
pub fn request(answer_bytes: usize) -> [u8; REQUEST_BYTES] {
    let mut request = [b'x'; REQUEST_BYTES];
    request[..4].copy_from_slice(&(answer_bytes as u32).to_le_bytes());
    request
}

/// What a server answers with.
pub fn answer(request: &[u8; REQUEST_BYTES]) -> &'static [u8] {
    let bytes = u32::from_le_bytes([request[0], request[1], request[2], request[3]]);
    &ANSWER[..(bytes as usize).min(ANSWER_BYTES_MAX)]
}

/// In a server: certificate and key.
///
/// # Errors
///
/// If the program was not started by the one that compares.
pub fn identity() -> io::Result<(String, String)> {
    let variable = |name| std::env::var(name).map_err(|_| io::Error::other(format!("no {name}")));
    Ok((variable(CERTIFICATE)?, variable(KEY)?))
}

static ANSWER: [u8; ANSWER_BYTES_MAX] = [b'y'; ANSWER_BYTES_MAX];
