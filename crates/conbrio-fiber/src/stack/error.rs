//! Why a stack could not be had. Every message says what to change.

use std::io;

use thiserror::Error;

/// The error of [`StackPool::new`](crate::StackPool::new) and
/// [`StackPool::acquire`](crate::StackPool::acquire).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StackError {
    /// The thread runs under a hardware shadow stack, which a stack switch would violate.
    #[error(
        "start a stack pool: a hardware shadow stack is active on this thread, and switching \
         stacks under it would kill the process; start the program without it \
         (GLIBC_TUNABLES=glibc.cpu.x86_shstk=off)"
    )]
    ShadowStack,

    /// More was asked for than the largest size class holds.
    #[error("acquire a stack of {requested} bytes: the largest stack is {largest} bytes")]
    TooLarge {
        /// What was asked for.
        requested: usize,
        /// The largest size class.
        largest: usize,
    },

    /// The kernel refused to map memory for more stacks.
    #[error("map {bytes} bytes for stacks: {limit}")]
    AddressSpace {
        /// The smallest size that was tried.
        bytes: usize,
        /// The limit that was probably in the way.
        limit: AddressSpaceLimit,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },

    /// Guards are mappings here, and as many as are safe to make exist already.
    #[error(
        "guard a stack: {stacks} guarded stacks exist, and vm.max_map_count={max_map_count} leaves \
         no room for more; raise it (sysctl -w vm.max_map_count=...), or use a kernel with \
         MADV_GUARD_INSTALL (Linux 6.13 or later, memory not locked), which needs none"
    )]
    GuardBudget {
        /// The value of the sysctl.
        max_map_count: usize,
        /// How many stacks of this process are guarded by a mapping.
        stacks: usize,
    },

    /// Another system call failed.
    #[error("{action}: {source}")]
    Os {
        /// What was being done.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Which limit kept the kernel from mapping memory, as far as it can be told afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressSpaceLimit {
    /// The resource limit on address space is finite.
    #[error("RLIMIT_AS is {bytes} bytes; raise it (ulimit -v), or use fewer or smaller stacks")]
    ResourceLimit {
        /// The soft limit.
        bytes: u64,
    },
    /// The process has nearly as many mappings as the kernel allows.
    #[error("{maps} mappings exist and vm.max_map_count={max_map_count}; raise the sysctl")]
    MapCount {
        /// Mappings of the process.
        maps: usize,
        /// The value of the sysctl.
        max_map_count: usize,
    },
    /// The kernel counts reserved memory as used.
    #[error("vm.overcommit_memory is 2, which counts reserved stacks as used; set it to 0 or 1")]
    Overcommit,
    /// New memory is locked at once (`mlockall`), and the limit on locked memory is reached.
    #[error("memory is locked (mlockall) and RLIMIT_MEMLOCK is reached; raise it (ulimit -l)")]
    LockedMemory,
    /// Nothing that could be read explains it.
    #[error("the kernel has no memory or address space left for this process")]
    Unknown,
}
