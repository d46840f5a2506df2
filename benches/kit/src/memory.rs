//! What a process holds of memory, as the kernel counts it.

use std::fmt;
use std::fs;
use std::io;

/// The memory of a process at one moment. `{}` prints the four numbers, and [`Memory::parse`] reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Pages in memory, in bytes.
    pub resident_bytes: f64,
    /// Page tables, in bytes.
    pub page_table_bytes: f64,
    /// Address space, in bytes.
    pub virtual_bytes: f64,
    /// Mappings.
    pub maps: f64,
}

impl Memory {
    /// The memory of this process.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn of_this_process() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
            let kib: f64 = word
                .parse()
                .map_err(|_| io::Error::other(format!("{key} in /proc/self/status: {word:?}")))?;
            Ok::<f64, io::Error>(kib * 1024.0)
        };
        Ok(Memory {
            resident_bytes: bytes("VmRSS:")?,
            page_table_bytes: bytes("VmPTE:")?,
            virtual_bytes: bytes("VmSize:")?,
            maps: fs::read_to_string("/proc/self/maps")?.lines().count() as f64,
        })
    }

    /// Four numbers, as `{}` prints them.
    pub fn parse(numbers: [f64; 4]) -> Memory {
        let [resident_bytes, page_table_bytes, virtual_bytes, maps] = numbers;
        Memory { resident_bytes, page_table_bytes, virtual_bytes, maps }
    }

    /// The memory above that of `earlier`, for each of `tasks`.
    pub fn per_task(self, earlier: Memory, tasks: usize) -> Memory {
        let tasks = tasks as f64;
        Memory {
            resident_bytes: (self.resident_bytes - earlier.resident_bytes) / tasks,
            page_table_bytes: (self.page_table_bytes - earlier.page_table_bytes) / tasks,
            virtual_bytes: (self.virtual_bytes - earlier.virtual_bytes) / tasks,
            // Maps are few or a disaster: their number says it, not their share.
            maps: self.maps - earlier.maps,
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Memory { resident_bytes, page_table_bytes, virtual_bytes, maps } = self;
        write!(f, "{resident_bytes} {page_table_bytes} {virtual_bytes} {maps}")
    }
}
