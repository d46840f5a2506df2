//! A thread's stock of stacks: size classes, last in first out, over slabs.
//!
//! Owns the slabs. The invariant per class: `carved == in use + idle.len()`, where "in use" is
//! every [`Stack`] that has not come back. Nothing is unmapped while that is not zero, so a stack
//! that is leaked with a fiber on it stays valid for ever.
//!
//! The hot path, a warm [`acquire`](StackPool::acquire) and [`release`](StackPool::release), is a
//! `Vec` pop and push: no system call, no allocation, no lock.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::StackError;
use super::guard::GuardKind;
use super::options::PoolOptions;
use super::slab::{self, Geometry, Slab};
use super::{Stack, Tag, trim};
use crate::{fatal, shadow};

/// Makes stacks, takes them back and uses them again. One per worker thread.
///
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
/// needs_send::<conbrio_fiber::StackPool>();
/// ```
///
/// # Dropping a pool
///
/// When all stacks have come back, their memory is unmapped. When some have not, all memory of the
/// pool stays mapped until the process ends, and a line on standard error says so: frames on them
/// may be borrowed, and a leak is better than a dangling pointer.
pub struct StackPool {
    options: PoolOptions,
    /// What the next guard will be; never goes back from `Mprotect`.
    guard_kind: GuardKind,
    /// 1 <= guard_pages, and odd.
    guard_pages: u16,
    /// The smallest size class: 32 KiB, or one page where pages are larger.
    stack_bytes_min: usize,
    classes: [Class; CLASSES],
    slabs: Vec<Slab>,
    id: u32,
    not_send: PhantomData<*mut ()>,
}

/// The stacks of one size.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// Bases of idle stacks; the one used last is at the end. Its capacity is `carved` at least,
    /// so that giving a stack back never allocates.
    pub(super) idle: Vec<usize>,
    /// The first `clean` idle stacks hold no memory. 0 <= clean <= idle.len()
    pub(super) clean: usize,
    /// The fewest idle stacks since `mark_unused`. 0 <= least_idle <= idle.len()
    least_idle: usize,
    /// So many, the first ones, are to be trimmed, as far as they are still idle.
    marked: usize,
    /// Slots guarded so far, in all slabs.
    carved: usize,
    /// Index into `StackPool::slabs` of the slab that is being carved.
    slab: Option<usize>,
}

impl Class {
    fn surplus(&self, kept: usize) -> usize {
        self.idle.len().saturating_sub(kept)
    }
}

/// A snapshot of a [`StackPool`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Mappings that hold stacks.
    pub slabs: usize,
    /// Address space of all slabs, in bytes. Memory is used only where a stack was touched.
    pub reserved_bytes: usize,
    /// Stacks that were acquired and have not been released.
    pub in_use: usize,
    /// Stacks ready to be acquired.
    pub idle: usize,
    /// The guard that the next new stack gets.
    pub guard_kind: GuardKind,
    /// Bytes below each stack that fault when they are touched.
    pub guard_bytes: usize,
}

impl StackPool {
    /// Makes an empty pool. Memory is reserved with the first stack.
    ///
    /// # Errors
    ///
    /// [`StackError::ShadowStack`] when the thread runs under a hardware shadow stack.
    pub fn new(options: PoolOptions) -> Result<StackPool, StackError> {
        if shadow::is_active() {
            return Err(StackError::ShadowStack);
        }
        Ok(StackPool {
            guard_kind: options.guard_kind,
            guard_pages: guard_pages(options.guard_bytes),
            stack_bytes_min: slab::page_bytes().max(1 << CLASS_SHIFT_MIN),
            options,
            classes: Default::default(),
            slabs: Vec::new(),
            id: next_id(),
            not_send: PhantomData,
        })
    }

    /// Hands out a stack of `stack_bytes`, rounded up to a power of two and to 32 KiB at least.
    ///
    /// The stack released last is handed out first, with whatever it contains. Up to 2.1 KiB of
    /// it are not usable; the guard comes on top.
    ///
    /// # Errors
    ///
    /// When there is no idle stack and no room for another, the error says which limit to raise.
    #[inline]
    pub fn acquire(&mut self, stack_bytes: usize) -> Result<Stack, StackError> {
        if stack_bytes > STACK_BYTES_MAX {
            return Err(too_large(stack_bytes));
        }
        let class_bytes = stack_bytes.max(self.stack_bytes_min).next_power_of_two();
        let class_shift = class_bytes.trailing_zeros() as u8;
        let class = &mut self.classes[class_index(class_shift)];
        let Some(base) = class.idle.pop() else {
            return self.acquire_cold(class_shift);
        };
        class.clean = class.clean.min(class.idle.len());
        class.least_idle = class.least_idle.min(class.idle.len());
        Ok(self.stack(base, class_shift))
    }

    /// Takes a stack back, to be handed out by the next [`acquire`](StackPool::acquire) of its size.
    ///
    /// # Panics
    ///
    /// When the stack comes from another pool.
    #[inline]
    #[track_caller]
    pub fn release(&mut self, stack: Stack) {
        assert!(
            stack.tag.pool() == self.id,
            "this stack belongs to another pool; release it there"
        );
        // SAFETY: no label is set, so nothing has to outlive anything.
        unsafe { stack.set_label(None) };
        self.classes[class_index(stack.tag.class_shift())].idle.push(stack.base.get());
    }

    /// Gives memory of idle stacks back to the system, and returns how many bytes.
    ///
    /// Of each size class the stacks used last, up to
    /// [`idle_stacks_max`](PoolOptions::idle_stacks_max), keep their topmost 16 KiB; all others
    /// keep nothing. Takes some milliseconds for 10,000 stacks; meant for idle moments.
    pub fn trim(&mut self) -> usize {
        let mut bytes = 0;
        for class_shift in CLASS_SHIFT_MIN..=CLASS_SHIFT_MAX {
            let geometry = self.geometry(class_shift);
            let class = &mut self.classes[class_index(class_shift)];
            bytes +=
                trim::drop_surplus(class, geometry, class.surplus(self.options.idle_stacks_max));
            bytes += trim::shorten(class, geometry);
        }
        bytes
    }

    /// For programs that go on: marks the surplus of stacks that were not used since the last call, for
    /// [`trim_marked`](StackPool::trim_marked). Called about once a second, it spares what the busiest moment of
    /// that second has used.
    pub fn mark_unused(&mut self) {
        for class in &mut self.classes {
            class.marked = class.least_idle.min(class.surplus(self.options.idle_stacks_max));
            class.least_idle = class.idle.len();
        }
    }

    /// Gives the memory of marked stacks back to the system, of `stacks_max` at a time: a thousand take about
    /// half a millisecond. Returns whether there are more.
    pub fn trim_marked(&mut self, stacks_max: usize) -> bool {
        let mut left = stacks_max;
        for class_shift in CLASS_SHIFT_MIN..=CLASS_SHIFT_MAX {
            let geometry = self.geometry(class_shift);
            let class = &mut self.classes[class_index(class_shift)];
            let marked = class.marked.min(class.idle.len());
            let clean = class.clean;
            trim::drop_surplus(class, geometry, marked.min(clean.saturating_add(left)));
            left -= class.clean - clean;
            if class.clean < marked {
                return true;
            }
            class.marked = 0;
        }
        false
    }

    /// Whether there are more idle stacks with memory than [`trim`](StackPool::trim) keeps.
    #[must_use]
    pub fn has_surplus(&self) -> bool {
        let kept = self.options.idle_stacks_max;
        self.classes.iter().any(|class| class.surplus(kept) > class.clean)
    }

    /// What the pool holds at the moment.
    #[must_use]
    pub fn statistics(&self) -> PoolStatistics {
        let idle = self.classes.iter().map(|class| class.idle.len()).sum();
        PoolStatistics {
            slabs: self.slabs.len(),
            reserved_bytes: self.slabs.iter().map(Slab::bytes).sum(),
            in_use: self.in_use(),
            idle,
            guard_kind: self.guard_kind,
            guard_bytes: usize::from(self.guard_pages) * slab::page_bytes(),
        }
    }

    fn in_use(&self) -> usize {
        self.classes.iter().map(|class| class.carved - class.idle.len()).sum()
    }

    /// Guards new slots and pops one of them.
    #[cold]
    #[inline(never)]
    fn acquire_cold(&mut self, class_shift: u8) -> Result<Stack, StackError> {
        let geometry = self.geometry(class_shift);
        let class = &mut self.classes[class_index(class_shift)];
        let index = match class.slab {
            Some(index) if !self.slabs[index].is_full() => index,
            _ => {
                self.slabs.push(Slab::map(geometry, self.options.slab_bytes)?);
                *class.slab.insert(self.slabs.len() - 1)
            }
        };
        // Few stacks at first, so that a small program does not pay for guards it never needs;
        // later a quarter of what there is, to share system calls.
        let slots_wanted = (class.carved / 4).max(1);
        let carved = self.slabs[index].carve(
            slots_wanted,
            &mut self.guard_kind,
            self.options.mapped_guards_max,
            &mut class.idle,
        )?;
        class.carved += carved;
        class.idle.reserve(class.carved - class.idle.len());
        let base = class.idle.pop().expect("carve has appended one base at least");
        // The list was empty, and the new ones were never touched.
        class.clean = class.idle.len();
        Ok(self.stack(base, class_shift))
    }

    #[inline]
    fn stack(&self, base: usize, class_shift: u8) -> Stack {
        Stack {
            // SAFETY: bases are addresses inside mappings, and page 0 is never mapped.
            base: unsafe { NonZeroUsize::new_unchecked(base) },
            tag: Tag::new(self.id, self.guard_pages, class_shift),
            not_send: PhantomData,
        }
    }

    fn geometry(&self, class_shift: u8) -> Geometry {
        Geometry {
            stack_bytes: 1 << class_shift,
            guard_bytes: usize::from(self.guard_pages) * slab::page_bytes(),
        }
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        let in_use = self.in_use();
        if in_use > 0 {
            fatal::write_stderr(
                format!(
                    "conbrio: a stack pool was dropped while {in_use} of its stacks were in use; \
                     their memory stays mapped\n"
                )
                .as_bytes(),
            );
            self.slabs.drain(..).for_each(Slab::leak);
            return;
        }
        for slab in self.slabs.drain(..) {
            // SAFETY: no stack of this pool is in use, and idle ones have no `Stack`.
            unsafe { slab.unmap() };
        }
    }
}

impl fmt::Debug for StackPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackPool")
            .field("options", &self.options)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

#[inline]
fn class_index(class_shift: u8) -> usize {
    usize::from(class_shift - CLASS_SHIFT_MIN)
}

#[cold]
fn too_large(requested: usize) -> StackError {
    StackError::TooLarge { requested, largest: STACK_BYTES_MAX }
}

/// Pages of guard for `bytes`: one at least, so that there is no stack without a guard, and always
/// an odd number.
///
/// Stacks are a power of two of pages, so an odd guard makes the distance between neighbours odd,
/// and their topmost pages spread over all sets of the TLB instead of a few. With 1,000 fibers in
/// turn (`examples/switch.rs`) that makes a switch 4.6 ns instead of 5.2 to 8.5; with 10,000, where
/// nothing fits any more, it costs about one.
fn guard_pages(bytes: usize) -> u16 {
    let pages = bytes.div_ceil(slab::page_bytes());
    u16::try_from(pages | 1).unwrap_or(u16::MAX)
}

/// A number no other pool of the process has, so that a stack cannot go to the wrong one.
fn next_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1));
    id.expect("fewer than four thousand million stack pools in one process")
}

const CLASS_SHIFT_MIN: u8 = 15;
const CLASS_SHIFT_MAX: u8 = 36;
const CLASSES: usize = (CLASS_SHIFT_MAX - CLASS_SHIFT_MIN + 1) as usize;
const STACK_BYTES_MAX: usize = 1 << CLASS_SHIFT_MAX;
