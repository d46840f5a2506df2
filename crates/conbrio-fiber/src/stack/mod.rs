//! Memory for stacks: one stack, the pool it comes from, and why none could be had.
//!
//! A slot of a slab, with addresses growing upward:
//!
//! ```text
//! slot start                                                           slot end
//! | guard          | usable ...                    | colour | footer: label    |
//! ^ touching it is ^ limit                         ^ base                      ^ page aligned
//!   a SIGSEGV        (lowest usable)                 (first frame goes below)
//! ```
//!
//! `slot end - limit` is the size class, a power of two. The footer and the colour together stay
//! inside the topmost page, so that the slot's end is found from `base` by rounding up.

mod error;
mod guard;
mod options;
mod pool;
pub(crate) mod registry;
mod slab;
mod trim;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

use crate::overflow::Label;

pub use error::{AddressSpaceLimit, StackError};
pub use guard::GuardKind;
pub use options::PoolOptions;
pub use pool::{PoolStatistics, StackPool};
pub(crate) use slab::page_bytes;

/// A stack that belongs to whoever holds this value.
///
/// Give it back with [`StackPool::release`]. A stack that is dropped instead stays reserved, and
/// its pool keeps all its memory mapped when it goes, because it cannot know that nothing on the
/// stack is in use.
#[must_use = "a stack that is dropped is never used again; give it to StackPool::release"]
pub struct Stack {
    /// Where the first frame begins; a multiple of 64.
    base: NonZeroUsize,
    tag: Tag,
    not_send: PhantomData<*mut ()>,
}

/// What is known of a stack besides its place, in one word: parts that are written one by one, and read
/// together a moment later, make the processor wait until the writes have reached the cache.
#[derive(Clone, Copy)]
struct Tag(u64);

impl Tag {
    /// - `pool`: which pool the stack goes back to.
    /// - `guard_pages`: at least 1, there is no stack without a guard.
    /// - `class_shift`: the base-two logarithm of the size class.
    #[inline]
    fn new(pool: u32, guard_pages: u16, class_shift: u8) -> Tag {
        Tag(u64::from(pool) | u64::from(guard_pages) << 32 | u64::from(class_shift) << 48)
    }

    #[inline]
    fn pool(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    fn guard_pages(self) -> u16 {
        (self.0 >> 32) as u16
    }

    #[inline]
    fn class_shift(self) -> u8 {
        (self.0 >> 48) as u8
    }
}

impl Stack {
    /// The highest address, where the first frame begins.
    #[inline]
    #[must_use]
    pub fn base(&self) -> usize {
        self.base.get()
    }

    /// The lowest address that may be used; the guard lies below it.
    #[must_use]
    pub fn limit(&self) -> usize {
        slab::slot_end(self.base()) - self.stack_bytes()
    }

    /// The size class: what was asked for, rounded up to a power of two. Up to 2.1 KiB of it, at
    /// the base, hold the label and spread the stacks over cache sets.
    #[inline]
    #[must_use]
    pub fn stack_bytes(&self) -> usize {
        1 << self.tag.class_shift()
    }

    /// How many bytes below the limit fault when they are touched.
    #[must_use]
    pub fn guard_bytes(&self) -> usize {
        usize::from(self.tag.guard_pages()) * slab::page_bytes()
    }

    /// Says what the overflow message calls the task on this stack; `None` takes the label away.
    ///
    /// [`StackPool::release`] takes it away too.
    ///
    /// # Safety
    ///
    /// `label`, and the text it points to, must stay readable and unchanged until the label is
    /// replaced, taken away or the stack is released.
    #[inline]
    pub unsafe fn set_label(&self, label: Option<NonNull<Label>>) {
        let label = label.map_or(ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: the footer lies inside the slot this value owns, above `base`, so no frame
        // overlaps it, and `Footer` has no invalid bit patterns.
        unsafe { (*self.footer()).label.set(label) };
    }

    #[inline]
    fn footer(&self) -> *const Footer {
        (slab::slot_end(self.base()) - size_of::<Footer>()) as *const Footer
    }

    /// A second value for the same stack, which is to be asked for addresses only.
    #[inline]
    pub(crate) fn alias(&self) -> Stack {
        Stack { base: self.base, tag: self.tag, not_send: PhantomData }
    }

    #[inline]
    pub(crate) fn base_pointer(&self) -> NonZeroUsize {
        self.base
    }

    #[inline]
    pub(crate) fn guard_pointer(&self) -> NonZeroUsize {
        // Not hot: corosensei asks for it only with the feature `sanitizer`.
        NonZeroUsize::new(self.limit() - self.guard_bytes()).expect("page 0 is never mapped")
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("base", &format_args!("{:#x}", self.base()))
            .field("stack_bytes", &self.stack_bytes())
            .field("guard_bytes", &self.guard_bytes())
            .finish_non_exhaustive()
    }
}

/// The topmost bytes of every slot. All zeroes, as fresh memory is, says "no label".
#[repr(C, align(64))]
pub(crate) struct Footer {
    label: Cell<*mut Label>,
}

/// Reads the label of the slot that ends at `slot_end`, for the fault handler.
///
/// # Safety
///
/// `slot_end` must be the end of a carved slot of a mapped slab, and the slot's fiber must be the
/// one that faulted on this thread, so that nobody changes the footer meanwhile.
pub(crate) unsafe fn label_of_slot(slot_end: usize) -> *const Label {
    let footer = (slot_end - size_of::<Footer>()) as *const Footer;
    // SAFETY: by the caller's promise the footer is mapped and not written to meanwhile.
    unsafe { (*footer).label.get() }
}
