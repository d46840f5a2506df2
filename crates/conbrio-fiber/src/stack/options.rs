//! What can be chosen about a pool of stacks.

use super::guard::GuardKind;

/// How a [`StackPool`](crate::StackPool) lays out and keeps its stacks.
///
/// ```
/// use conbrio_fiber::PoolOptions;
///
/// let options = PoolOptions::default().guard_bytes(4096).idle_stacks_max(64);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a pool is made with them"]
pub struct PoolOptions {
    pub(super) slab_bytes: usize,
    pub(super) idle_stacks_max: usize,
    pub(super) guard_bytes: usize,
    pub(super) guard_kind: GuardKind,
    pub(super) mapped_guards_max: usize,
}

impl PoolOptions {
    /// How much address space is reserved at a time, in bytes. Default 64 MiB.
    ///
    /// Reserved only: memory is used where a stack has been touched. A slab holds one stack at
    /// least, and is smaller where the address space is limited.
    pub fn slab_bytes(mut self, bytes: usize) -> PoolOptions {
        self.slab_bytes = bytes;
        self
    }

    /// How many idle stacks of each size class keep their memory over a
    /// [`trim`](crate::StackPool::trim). Default 1024.
    pub fn idle_stacks_max(mut self, stacks: usize) -> PoolOptions {
        self.idle_stacks_max = stacks;
        self
    }

    /// How many bytes below each stack fault when they are touched, rounded up to an odd number
    /// of pages, one at least and 65,535 at most. Default 64 KiB and a page.
    ///
    /// Rust code touches each page of a large frame in order and cannot miss one page. C code
    /// compiled without `-fstack-clash-protection` can step over a guard smaller than its frame.
    /// A guard costs address space and eight bytes of page table per page, no memory.
    pub fn guard_bytes(mut self, bytes: usize) -> PoolOptions {
        self.guard_bytes = bytes;
        self
    }

    /// Which kind of guard to use. Default [`GuardKind::Madvise`], which falls back by itself
    /// where the kernel does not know it.
    pub fn guard_kind(mut self, kind: GuardKind) -> PoolOptions {
        self.guard_kind = kind;
        self
    }

    /// Lowers the number of [`GuardKind::Mprotect`] guards in the process up to which this pool
    /// makes more. Default: what `vm.max_map_count` allows.
    pub fn mapped_guards_max(mut self, guards: usize) -> PoolOptions {
        self.mapped_guards_max = guards;
        self
    }
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions {
            slab_bytes: 64 << 20,
            idle_stacks_max: 1024,
            guard_bytes: 64 << 10,
            guard_kind: GuardKind::Madvise,
            mapped_guards_max: usize::MAX,
        }
    }
}
