//! Buffers that a reactor lends for the time of one look at what has arrived, so that a connection that
//! waits ties up none.
//!
//! Owns the buffers and says who has which. There are two kinds: those of a ring, which the kernel takes
//! by itself when data has arrived ([`ring`]), and ordinary ones, for an attempt that does not wait, and
//! for back ends without a ring. The invariant: a buffer is in one place at a time: free, with the
//! kernel, filled and on its way to the task whose completion names it, or with that task.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

pub(crate) mod ring;

use self::ring::RingBuffers;

/// Lends the buffers of one reactor. A clone lends the same ones.
#[derive(Clone, Default)]
pub struct Lender {
    buffers: Rc<Buffers>,
}

#[derive(Default)]
struct Buffers {
    /// Set at the first wait that could use them: `None` if the kernel has refused them.
    ring: OnceCell<Option<RingBuffers>>,
    /// Ordinary buffers that nobody has; at most `SPARE_MAX`.
    spare: RefCell<Vec<Box<Buffer>>>,
    /// Ordinary buffers that a back end has filled and whose task has not taken them yet.
    filled: RefCell<Vec<Option<Box<Buffer>>>>,
}

/// Page-aligned: the kernel copies to such an address two or three times as fast as to an odd one.
#[repr(C, align(4096))]
pub(crate) struct Buffer([u8; BUFFER_BYTES]);

impl Lender {
    /// The buffers that the kernel fills, made by `make` at the first call. `None` if that has failed.
    pub(crate) fn ring(
        &self,
        make: impl FnOnce() -> std::io::Result<RingBuffers>,
    ) -> Option<&RingBuffers> {
        self.buffers.ring.get_or_init(|| make().ok()).as_ref()
    }

    /// The same, if they have been made.
    pub(crate) fn existing_ring(&self) -> Option<&RingBuffers> {
        self.buffers.ring.get()?.as_ref()
    }

    /// Lets `fill` put bytes into an ordinary buffer, and lends it with them.
    ///
    /// # Errors
    ///
    /// That of `fill`; the buffer is free again.
    pub(crate) fn lend<E>(
        &self,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Lent, E> {
        let mut buffer = self.buffers.spare.borrow_mut().pop().unwrap_or_else(new_buffer);
        match fill(&mut buffer.0) {
            Ok(length) => {
                assert!(length <= BUFFER_BYTES, "a buffer holds no more than its size");
                Ok(Lent { place: Place::Ordinary(buffer), length, lender: self.clone() })
            }
            Err(error) => {
                self.take_back(buffer);
                Err(error)
            }
        }
    }

    /// As [`lend`](Lender::lend), for a back end that performs the operation before its task runs: returns
    /// the raw result with which [`claim`](Lender::claim) finds the buffer.
    pub(crate) fn fill<E>(
        &self,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<i32, E> {
        let mut lent = self.lend(fill)?;
        let length = lent.length;
        let Place::Ordinary(buffer) = std::mem::replace(&mut lent.place, Place::Nowhere) else {
            unreachable!("it was lent from the ordinary ones");
        };
        if length == 0 {
            self.take_back(buffer);
            return Ok(0);
        }
        let mut filled = self.buffers.filled.borrow_mut();
        let index = filled.iter().position(Option::is_none).unwrap_or(filled.len());
        assert!(index < ORDINARY as usize, "no more buffers are on their way than tasks wait");
        match filled.get_mut(index) {
            Some(place) => *place = Some(buffer),
            None => filled.push(Some(buffer)),
        }
        Ok(raw(ORDINARY + index as u16, length))
    }

    /// The buffer that a raw result names; `raw` is not negative.
    ///
    /// # Panics
    ///
    /// If no such buffer is on its way to a task.
    pub(crate) fn claim(&self, raw: usize) -> Lent {
        let (number, length) = ((raw >> LENGTH_BITS) as u16, raw & ((1 << LENGTH_BITS) - 1));
        let place = if length == 0 {
            Place::Nowhere
        } else if number >= ORDINARY {
            let mut filled = self.buffers.filled.borrow_mut();
            let buffer = filled.get_mut((number - ORDINARY) as usize).and_then(Option::take);
            Place::Ordinary(buffer.expect("a result names a buffer once"))
        } else {
            self.existing_ring().expect("the kernel fills what it was given").take(number);
            Place::OfRing(number)
        };
        Lent { place, length, lender: self.clone() }
    }

    fn take_back(&self, buffer: Box<Buffer>) {
        let mut spare = self.buffers.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    }
}

impl fmt::Debug for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lender").field("ring", &self.existing_ring()).finish_non_exhaustive()
    }
}

/// Bytes that have arrived, in a buffer that goes back when this is dropped.
pub struct Lent {
    place: Place,
    /// `0 <= length <= BUFFER_BYTES`, and 0 where there is no buffer.
    length: usize,
    lender: Lender,
}

enum Place {
    Nowhere,
    Ordinary(Box<Buffer>),
    OfRing(u16),
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            Place::Nowhere => &[],
            Place::Ordinary(buffer) => &buffer.0[..self.length],
            Place::OfRing(number) => {
                let ring = self.lender.existing_ring().expect("it has lent this buffer");
                ring.bytes(*number, self.length)
            }
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Nowhere => {}
            Place::Ordinary(buffer) => self.lender.take_back(buffer),
            Place::OfRing(number) => {
                let ring = self.lender.existing_ring().expect("it has lent this buffer");
                ring.give_back(number);
            }
        }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("length", &self.length).finish_non_exhaustive()
    }
}

/// The raw result that names buffer `number` with `length` bytes.
pub(crate) fn raw(number: u16, length: usize) -> i32 {
    debug_assert!(number < 2 * ORDINARY && length <= BUFFER_BYTES);
    i32::from(number) << LENGTH_BITS | length as i32
}

fn new_buffer() -> Box<Buffer> {
    let layout = Layout::new::<Buffer>();
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) }.cast::<Buffer>();
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: it was just allocated by the global allocator with the layout of `Buffer`, for which zeroes
    // are valid. (`Box::new` would put 16 KiB on the stack of a task.)
    unsafe { Box::from_raw(memory) }
}

/// The size of each buffer: as much as a record of TLS, and more than most requests.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// In a raw result the length has the lower bits, and the buffer's number those above.
const LENGTH_BITS: u32 = 16;
/// Numbers from here on are of ordinary buffers, those below of the ring.
const ORDINARY: u16 = 1 << 14;
/// A task uses one at a time and cannot stop meanwhile, so that one is enough for most of the time.
const SPARE_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: &'static [u8]) -> impl FnOnce(&mut [u8]) -> Result<usize, ()> {
        move |buffer| {
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn a_buffer_comes_back_and_is_lent_again() {
        let lender = Lender::default();
        let first = lender.lend(put(b"one")).unwrap();
        let address = first.as_ptr();
        assert_eq!(&*first, b"one");
        assert!(address.addr().is_multiple_of(4096));
        drop(first);
        let second = lender.lend(put(b"two")).unwrap();
        assert_eq!((second.as_ptr(), &*second), (address, &b"two"[..]));
        assert!(lender.lend(|_| Err::<usize, _>("no")).is_err());
        assert_eq!(lender.buffers.spare.borrow().len(), 1);
    }

    #[test]
    fn what_was_filled_is_claimed_once_and_in_any_order() {
        let lender = Lender::default();
        let one = lender.fill(put(b"one")).unwrap();
        let two = lender.fill(put(b"twice")).unwrap();
        assert_eq!(&*lender.claim(two as usize), b"twice");
        assert_eq!(&*lender.claim(one as usize), b"one");
        assert_eq!(lender.fill(put(b"")).unwrap(), 0);
        assert!(lender.claim(0).is_empty());
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lender.claim(one as usize);
        }));
        assert!(again.is_err());
    }

    #[test]
    fn no_more_buffers_are_kept_than_are_needed() {
        let lender = Lender::default();
        let many: Vec<_> = (0..20).map(|_| lender.lend(put(b"x")).unwrap()).collect();
        drop(many);
        assert_eq!(lender.buffers.spare.borrow().len(), SPARE_MAX);
    }
}
