//! Memory of task cells, kept for the next task.
//!
//! A spawn allocates one cell, and a task that ends frees it, often within microseconds. Each worker keeps
//! the freed ones of the common sizes, newest first, so that a spawn costs a pop instead of a walk through
//! the allocator. Blocks are of whole size classes, so that any cache can free what another allocated.
//!
//! Under AddressSanitizer nothing is kept: a freed cell must be seen as freed.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;

/// See the module's documentation. It belongs to one thread.
pub(crate) struct CellCache {
    classes: [RefCell<Vec<NonNull<u8>>>; CLASSES],
}

/// Size classes are multiples of this, which is also the alignment of every block.
const STEP: usize = 64;
/// Larger cells go to the allocator directly.
const CLASSES: usize = 16;
/// How many blocks of each class are kept.
const KEPT_MAX: usize = 1024;

/// The class of a layout, and the layout of its blocks.
fn class_of(layout: Layout) -> Option<(usize, Layout)> {
    let class = layout.size().div_ceil(STEP).max(1) - 1;
    if class >= CLASSES || layout.align() > STEP {
        return None;
    }
    let block = Layout::from_size_align((class + 1) * STEP, STEP).ok()?;
    Some((class, block))
}

impl CellCache {
    pub(crate) fn new() -> CellCache {
        CellCache { classes: [const { RefCell::new(Vec::new()) }; CLASSES] }
    }

    /// Memory for `layout`, from `cache` if there is one and it has some.
    pub(crate) fn allocate(cache: Option<&CellCache>, layout: Layout) -> NonNull<u8> {
        let Some((class, block)) = class_of(layout) else {
            return allocate_block(layout);
        };
        let kept = cache.and_then(|cache| cache.classes[class].borrow_mut().pop());
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
            let mut kept = cache.classes[class].borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(memory);
                return;
            }
        }
        // SAFETY: by contract; every block of the class was allocated with this layout.
        unsafe { dealloc(memory.as_ptr(), block) };
    }
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
            for memory in kept.get_mut().drain(..) {
                let block = Layout::from_size_align((class + 1) * STEP, STEP);
                let block = block.expect("the layout was valid when it was allocated");
                // SAFETY: kept blocks are in no use, and were allocated with the layout of their class.
                unsafe { dealloc(memory.as_ptr(), block) };
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
            assert!(cache.classes.iter().all(|class| class.borrow().is_empty()));
        }
    }
}
