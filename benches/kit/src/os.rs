//! What the benches ask of the system: a core, the idle class, the processor time of another process.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and the threads it will start, on one core.
///
/// # Errors
///
/// If the process may not use that core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|e| {
        io::Error::other(format!("pin to core {core}: {e}; the bench needs that core"))
    })
}

/// Keeps the calling thread on one core until it is dropped, and then lets it go wherever it could before.
#[derive(Debug)]
pub struct Pinned(CpuSet);

impl Pinned {
    /// On `core` from now on.
    ///
    /// # Errors
    ///
    /// If the process may not use that core.
    pub fn to(core: usize) -> io::Result<Pinned> {
        let before = sched_getaffinity(None)?;
        pin(core)?;
        Ok(Pinned(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before; if it is not any more, the thread stays where it is.
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// Sends small answers at once, on a socket of whatever type.
///
/// # Errors
///
/// If the system refuses.
pub fn set_nodelay(socket: impl rustix::fd::AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_nodelay(socket, true)?)
}

/// Lets this process, and those that it starts, open as many files as the system allows.
///
/// # Errors
///
/// If the system refuses.
pub fn raise_fd_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// Lets the calling thread run only when nobody else wants its core.
///
/// # Errors
///
/// If the system refuses.
pub fn run_when_idle() -> io::Result<()> {
    // SAFETY: the parameters are plain data, and the call reads them only.
    let answer = unsafe {
        let parameters = std::mem::zeroed::<libc::sched_param>();
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes of the heap that this program has allocated and not given back. What the allocator keeps for nobody goes
/// back to the system first, so that the memory of the process says something, too (malloc_trim(3)).
#[cfg(target_env = "gnu")]
pub fn heap_bytes_in_use() -> u64 {
    // SAFETY: the call takes a number, and has effects on memory that nobody uses.
    unsafe { libc::malloc_trim(0) };
    // SAFETY: the call only reads, under the locks of the allocator.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// Keeps `core` from halting, and takes it from nobody: for ever, in the idle class.
///
/// # Errors
///
/// If the core or the class cannot be had.
pub fn spin(core: usize) -> io::Result<()> {
    pin(core)?;
    run_when_idle()?;
    println!("spinning");
    loop {
        std::hint::spin_loop();
    }
}

/// Processor time that a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// Nanoseconds, all threads.
    pub ns: f64,
    /// Clock ticks in user space. Coarse: for long spans only.
    pub user_ticks: f64,
    /// Clock ticks in the kernel. Coarse as well.
    pub system_ticks: f64,
}

impl CpuTime {
    /// The time that the process `id` has used until now.
    ///
    /// # Errors
    ///
    /// If the process is gone, or the kernel keeps no such statistics.
    pub fn of(id: u32) -> io::Result<CpuTime> {
        let mut ns = 0.0;
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            ns += number(text.split(' ').next())?;
        }
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name of the program, in parentheses, may contain blanks; `proc_pid_stat(5)` counts on.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let user_ticks = number(fields.nth(11))?;
        let system_ticks = number(fields.next())?;
        Ok(CpuTime { ns, user_ticks, system_ticks })
    }

    /// The time between `earlier` and this.
    pub fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            ns: self.ns - earlier.ns,
            user_ticks: self.user_ticks - earlier.user_ticks,
            system_ticks: self.system_ticks - earlier.system_ticks,
        }
    }
}

fn number(word: Option<&str>) -> io::Result<f64> {
    let word = word.unwrap_or_default();
    word.parse().map_err(|_| io::Error::other(format!("processor time in /proc: {word:?}")))
}
