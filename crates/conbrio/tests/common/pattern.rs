//! Bytes to send around.

/// Bytes that show where they were lost, doubled or exchanged.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}
