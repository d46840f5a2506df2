//! Memory of task cells, kept for the next task.
//!
//! A spawn allocates one cell, and a task that ends frees it, often within microseconds. Each worker keeps
//! the freed ones of the common sizes, newest first, so that a spawn costs a pop instead of a walk through
//! the allocator. Blocks are of whole size classes, so that any cache can free what another allocated.
//!
//! As many are kept as the worker had tasks at its busiest moment, as it keeps their stacks; and as with
//! stacks, what was not used for a while is given back when the worker has nothing to do.
//!
//! Under AddressSanitizer nothing is kept: a freed cell must be seen as freed.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

/// See the module's documentation. It belongs to one thread.
pub(crate) struct CellCache {
    classes: [RefCell<Class>; CLASSES],
    /// How many blocks of each class are kept.
    kept_max: Cell<usize>,
}

#[derive(Default)]
struct Class {
    /// The newest is the last.
    kept: Vec<NonNull<u8>>,
    /// The fewest since `mark_unused`. 0 <= least <= kept.len()
    least: usize,
    /// So many are to be given back, as far as they are still kept.
    marked: usize,
}

/// Size classes are multiples of this, which is also the alignment of every block.
const STEP: usize = 64;
/// Larger cells go to the allocator directly.
const CLASSES: usize = 16;
/// How many blocks of each class are kept in any case.
const KEPT_MIN: usize = 1024;

/// The class of a layout, and the layout of its blocks.
fn class_of(layout: Layout) -> Option<(usize, Layout)> {
    let class = layout.size().div_ceil(STEP).max(1) - 1;
    if class >= CLASSES || layout.align() > STEP {
        return None;
    }
    Some((class, block_of(class)))
}

impl CellCache {
    pub(crate) fn new() -> CellCache {
        CellCache { classes: Default::default(), kept_max: Cell::new(KEPT_MIN) }
    }

    /// There are so many tasks now, whose cells are worth keeping.
    #[inline]
    pub(crate) fn expect(&self, tasks: usize) {
        if tasks > self.kept_max.get() {
            self.kept_max.set(tasks);
        }
    }

    /// Memory for `layout`, from `cache` if there is one and it has some.
    pub(crate) fn allocate(cache: Option<&CellCache>, layout: Layout) -> NonNull<u8> {
        let Some((class, block)) = class_of(layout) else {
            return allocate_block(layout);
        };
        let kept = cache.and_then(|cache| cache.classes[class].borrow_mut().take());
        kept.unwrap_or_else(|| allocate_block(block))
    }

    /// Takes memory back, into `cache` if there is one and it has room.
    ///
    /// # Safety
    /// `memory` came from `allocate` with the same layout, and is not used any more.
    pub(crate) unsafe fn free(cache: Option<&CellCache>, memory: NonNull<u8>, layout: Layout) {
        let Some((class, block)) = class_of(layout) else {
            // SAFETY: by contract; such layouts are allocated as they are.
            unsafe { dealloc(memory.as_ptr(), layout) };
            return;
        };
        if let Some(cache) = cache
            && !cfg!(feature = "sanitizer")
        {
            let kept = &mut cache.classes[class].borrow_mut().kept;
            if kept.len() < cache.kept_max.get() {
                kept.push(memory);
                return;
            }
        }
        // SAFETY: by contract; every block of the class was allocated with this layout.
        unsafe { dealloc(memory.as_ptr(), block) };
    }
}

impl CellCache {
    /// Whether more is kept than in any case.
    pub(crate) fn has_surplus(&self) -> bool {
        self.classes.iter().any(|class| class.borrow().surplus() > 0)
    }

    /// Marks what was not used since the last call, for [`trim_marked`](CellCache::trim_marked).
    pub(crate) fn mark_unused(&self) {
        for class in &self.classes {
            let class = &mut *class.borrow_mut();
            class.marked = class.least.min(class.surplus());
            class.least = class.kept.len();
        }
    }

    /// Gives marked blocks back to the allocator, of `blocks_max` at a time. Returns whether there are more.
    pub(crate) fn trim_marked(&self, blocks_max: usize) -> bool {
        let mut left = blocks_max;
        let mut kept_max = KEPT_MIN;
        for (index, class) in self.classes.iter().enumerate() {
            let class = &mut *class.borrow_mut();
            while class.marked > 0 {
                if left == 0 {
                    return true;
                }
                let Some(memory) = class.take() else { break };
                left -= 1;
                class.marked -= 1;
                // SAFETY: kept blocks are in no use, and were allocated with the layout of their class.
                unsafe { dealloc(memory.as_ptr(), block_of(index)) };
            }
            class.marked = 0;
            kept_max = kept_max.max(class.kept.len());
        }
        self.kept_max.set(kept_max);
        false
    }
}

impl Class {
    #[inline]
    fn take(&mut self) -> Option<NonNull<u8>> {
        let newest = self.kept.pop();
        self.least = self.least.min(self.kept.len());
        newest
    }

    fn surplus(&self) -> usize {
        self.kept.len().saturating_sub(KEPT_MIN)
    }
}

/// The layout of the blocks of a class.
fn block_of(class: usize) -> Layout {
    let block = Layout::from_size_align((class + 1) * STEP, STEP);
    block.expect("a small size, and an alignment that is a power of two")
}

fn allocate_block(layout: Layout) -> NonNull<u8> {
    debug_assert_ne!(layout.size(), 0);
    // SAFETY: cells are not of size zero: they begin with a task.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Drop for CellCache {
    fn drop(&mut self) {
        for (class, kept) in self.classes.iter_mut().enumerate() {
            for memory in kept.get_mut().kept.drain(..) {
                // SAFETY: kept blocks are in no use, and were allocated with the layout of their class.
                unsafe { dealloc(memory.as_ptr(), block_of(class)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_block_is_the_next_one_allocated() {
        let cache = CellCache::new();
        let layout = Layout::new::<[u64; 20]>();
        let first = CellCache::allocate(Some(&cache), layout);
        // SAFETY: allocated above with this layout.
        unsafe { CellCache::free(Some(&cache), first, layout) };
        let smaller = Layout::new::<[u64; 18]>();
        let second = CellCache::allocate(Some(&cache), smaller);
        assert_eq!(first == second, !cfg!(feature = "sanitizer"));
        // SAFETY: of the same class, and without a cache it goes back to the allocator.
        unsafe { CellCache::free(None, second, smaller) };
    }

    #[test]
    fn large_and_strongly_aligned_cells_bypass_the_cache() {
        let cache = CellCache::new();
        for layout in [Layout::new::<[u64; 1000]>(), Layout::from_size_align(64, 4096).unwrap()] {
            let memory = CellCache::allocate(Some(&cache), layout);
            assert_eq!(memory.as_ptr() as usize % layout.align(), 0);
            // SAFETY: allocated above with this layout.
            unsafe { CellCache::free(Some(&cache), memory, layout) };
            assert!(cache.classes.iter().all(|class| class.borrow().kept.is_empty()));
        }
    }

    #[test]
    fn what_was_not_used_for_a_round_is_given_back() {
        if cfg!(feature = "sanitizer") {
            return;
        }
        let layout = Layout::new::<[u64; 20]>();
        let cache = CellCache::new();
        let fill = |blocks: usize| {
            let taken: Vec<_> =
                (0..blocks).map(|_| CellCache::allocate(Some(&cache), layout)).collect();
            for memory in taken {
                // SAFETY: allocated above with this layout.
                unsafe { CellCache::free(Some(&cache), memory, layout) };
            }
        };
        let kept = || cache.classes.iter().map(|class| class.borrow().kept.len()).sum::<usize>();
        fill(KEPT_MIN + 1);
        assert_eq!((kept(), cache.has_surplus()), (KEPT_MIN, false));
        // With more tasks more is kept.
        cache.expect(KEPT_MIN + 500);
        fill(KEPT_MIN + 500);
        assert_eq!((kept(), cache.has_surplus()), (KEPT_MIN + 500, true));
        // All of it was used in this round, and 300 in the next.
        cache.mark_unused();
        assert!(!cache.trim_marked(usize::MAX));
        assert_eq!(kept(), KEPT_MIN + 500);
        fill(300);
        cache.mark_unused();
        assert!(cache.trim_marked(100));
        assert_eq!(kept(), KEPT_MIN + 400);
        assert!(!cache.trim_marked(usize::MAX));
        assert_eq!((kept(), cache.has_surplus()), (KEPT_MIN, false));
        // The limit has gone back as well.
        fill(KEPT_MIN + 1);
        assert_eq!(kept(), KEPT_MIN);
    }
}
