//! The file that the questions about files read from.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// Bytes of a read.
pub const PAGE_BYTES: usize = 4096;
/// Pages of the file: 64 MiB, which stay in the page cache.
pub const PAGES: usize = 16_384;
/// Reads in a pass.
pub const READS: usize = 8_192;

/// Makes the file, or finds it; all of it is in the page cache when this returns.
///
/// # Errors
///
/// If there is no room for it.
pub fn prepare() -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join("conbrio-bench-file");
    if fs::metadata(&path).is_ok_and(|found| found.len() == (PAGES * PAGE_BYTES) as u64) {
        fs::read(&path)?;
        return Ok(path);
    }
    let mut file = File::create(&path)?;
    for page in 0..PAGES {
        file.write_all(&[page as u8; PAGE_BYTES])?;
    }
    Ok(path)
}

/// Offsets of pages in an order that no prefetching foresees, the same in each run.
#[derive(Debug)]
pub struct Offsets(u64);

impl Offsets {
    /// Another order for another `seed`.
    pub fn new(seed: u64) -> Offsets {
        Offsets(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
}

impl Iterator for Offsets {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        // Xorshift: George Marsaglia, "Xorshift RNGs", 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Some(self.0 % PAGES as u64 * PAGE_BYTES as u64)
    }
}

/// A buffer at the start of a page: elsewhere a read is slower.
#[derive(Clone, Debug)]
#[repr(align(4096))]
pub struct Page(pub [u8; PAGE_BYTES]);

impl Page {
    /// One of zeros, on the heap.
    pub fn boxed() -> Box<Page> {
        Box::new(Page([0; PAGE_BYTES]))
    }
}
