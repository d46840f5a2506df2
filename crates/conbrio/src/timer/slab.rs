//! Memory for timer entries: constant-time, reused, and given back after a peak.
//!
//! Entries live in chunks of 64, named by `index = chunk * 64 + offset`, and never move. A chunk
//! that empties gives its memory back to the allocator unless few empty chunks are held, so what
//! stays after a peak is what the live timers occupy, plus a small constant. The price is one
//! indirection per access; in return growth copies nothing, shrinking costs at most one
//! deallocation per 64 removals, and one long-lived timer pins 2 KiB, not a whole vector.
//!
//! ```text
//! chunks   [ 0 ] [ 1 ] [ 2 ] [ 3 ] ..     32 bytes each, kept for ever: they carry the generation
//!            |     |     |     '--> none  absent:  memory given back
//!            |     |     '--> [........]  spare:   no live entry
//!            |     '--> [#.##..#.]        partial: some live, some vacant
//!            '--> [########]              full:    in no list
//! ```
//!
//! Invariant: a chunk is in the list that its state names, and in no other. Only the head of the
//! partial list may be empty, so that one timer coming and going moves no chunk. Insertion prefers
//! partial chunks, most recently opened first, then spare, then absent ones, so that memory is
//! reused while it is warm in the cache and what is nearly empty is left alone to drain.
//!
//! Generations: each insertion into a chunk takes the chunk's next generation, so a pair of index
//! and generation is never handed out twice, also not after the chunk's memory was given back. A
//! chunk that has used up its generations (after 2^32 - 1 insertions) retires: it takes no more
//! entries, and once empty only its 32 bytes remain.

/// One pending timer, linked into the list of its slot.
#[derive(Copy, Clone, Debug)]
#[repr(align(32))]
pub(super) struct Entry {
    pub(super) deadline: u64,
    pub(super) payload: u64,
    /// Neighbours in the slot's list, or `NIL`.
    pub(super) next: u32,
    pub(super) previous: u32,
    /// Together with the index, the timer's identity. Meaningless while the entry is vacant.
    generation: u32,
    /// `level * 64 + digit` of the slot whose list the entry is in.
    pub(super) place: u16,
}

/// No entry, or no chunk.
pub(super) const NIL: u32 = u32::MAX;

/// The entries of one timer store.
#[derive(Debug)]
pub(super) struct Slab {
    chunks: Vec<Chunk>,
    len: usize,
    /// Head of the doubly linked list of partial chunks, or `NIL`.
    partial: u32,
    /// Head of the stack of spare chunks, linked through `next`, or `NIL`.
    spare: u32,
    /// `0 <= spare_count <= SPARE_MAX`
    spare_count: u32,
    /// Head of the stack of absent chunks that may come back, linked through `next`, or `NIL`.
    absent: u32,
}

#[derive(Debug)]
struct Chunk {
    /// `None` while absent, and then `vacant == ALL`.
    entries: Option<Box<[Entry; CHUNK_LEN]>>,
    /// Bit `o` is set exactly when the entry at offset `o` is vacant.
    vacant: u64,
    /// What the next insertion takes; `RETIRED` when none is left.
    generation: u32,
    /// Neighbours in the list that the chunk is in.
    next: u32,
    previous: u32,
}

impl Slab {
    pub(super) fn new() -> Slab {
        Slab { chunks: Vec::new(), len: 0, partial: NIL, spare: NIL, spare_count: 0, absent: NIL }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Stores a timer and returns its index and generation. The caller sets the links.
    #[inline]
    pub(super) fn insert(&mut self, deadline: u64, payload: u64) -> (u32, u32) {
        if self.partial == NIL {
            self.open_chunk();
        }
        let name = self.partial;
        let chunk = &mut self.chunks[name as usize];
        let offset = chunk.vacant.trailing_zeros();
        let generation = chunk.generation;
        let entries = chunk.entries.as_mut().expect("a partial chunk has memory");
        entries[offset as usize % CHUNK_LEN] =
            Entry { deadline, payload, next: NIL, previous: NIL, generation, place: 0 };
        chunk.vacant &= chunk.vacant - 1;
        chunk.generation += 1;
        self.len += 1;
        if chunk.vacant == 0 || chunk.generation == RETIRED {
            self.unlink_partial(name);
        }
        (name * CHUNK_LEN as u32 + offset, generation)
    }

    /// The entry of a live timer, or `None` if it is gone.
    #[inline]
    pub(super) fn find(&self, index: u32, generation: u32) -> Option<&Entry> {
        let (name, offset) = split(index);
        let chunk = self.chunks.get(name)?;
        if chunk.vacant & (1 << offset) != 0 {
            return None;
        }
        let entry = &chunk.entries.as_ref()?[offset];
        (entry.generation == generation).then_some(entry)
    }

    /// The entry at the index of a live timer.
    #[inline]
    pub(super) fn entry(&self, index: u32) -> &Entry {
        let (name, offset) = split(index);
        let entries = self.chunks[name].entries.as_ref();
        &entries.expect("a linked entry has memory")[offset]
    }

    /// The entry at the index of a live timer.
    #[inline]
    pub(super) fn entry_mut(&mut self, index: u32) -> &mut Entry {
        let (name, offset) = split(index);
        let entries = self.chunks[name].entries.as_mut();
        &mut entries.expect("a linked entry has memory")[offset]
    }

    /// Vacates the entry of a live timer. The caller has taken it out of its list.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) {
        let (name, offset) = split(index);
        let chunk = &mut self.chunks[name];
        debug_assert!(chunk.vacant & (1 << offset) == 0, "entry {index} is live");
        let was_full = chunk.vacant == 0;
        chunk.vacant |= 1 << offset;
        self.len -= 1;
        if was_full {
            if chunk.generation != RETIRED {
                self.link_partial(name as u32);
            }
        } else if chunk.vacant == ALL && self.partial != name as u32 {
            self.close_chunk(name as u32);
        }
    }

    /// Puts a chunk without live entries at the head of the partial list.
    #[cold]
    fn open_chunk(&mut self) {
        let name = if self.spare != NIL {
            self.spare_count -= 1;
            pop(&mut self.chunks, &mut self.spare)
        } else {
            let name = if self.absent != NIL {
                pop(&mut self.chunks, &mut self.absent)
            } else {
                self.add_chunk()
            };
            self.chunks[name as usize].entries = Some(Box::new([Entry::VACANT; CHUNK_LEN]));
            name
        };
        self.link_partial(name);
    }

    /// Adds an absent chunk that is in no list.
    fn add_chunk(&mut self) -> u32 {
        // The last chunk name is left out, so that no index equals `NIL`.
        assert!(
            self.chunks.len() < (u32::MAX / CHUNK_LEN as u32) as usize,
            "{} timers are pending on one worker: cancel those no longer needed",
            self.len
        );
        self.chunks.push(Chunk {
            entries: None,
            vacant: ALL,
            generation: 0,
            next: NIL,
            previous: NIL,
        });
        self.chunks.len() as u32 - 1
    }

    /// Makes an empty chunk spare or absent.
    #[cold]
    fn close_chunk(&mut self, name: u32) {
        if self.chunks[name as usize].generation == RETIRED {
            // It left the partial list with its last insertion, and comes back to no list.
            self.chunks[name as usize].entries = None;
            return;
        }
        self.unlink_partial(name);
        if self.spare_count < SPARE_MAX {
            self.spare_count += 1;
            push(&mut self.chunks, &mut self.spare, name);
        } else {
            self.chunks[name as usize].entries = None;
            push(&mut self.chunks, &mut self.absent, name);
        }
    }

    fn link_partial(&mut self, name: u32) {
        if self.partial != NIL && self.chunks[self.partial as usize].vacant == ALL {
            self.close_chunk(self.partial);
        }
        let next = self.partial;
        if next != NIL {
            self.chunks[next as usize].previous = name;
        }
        let chunk = &mut self.chunks[name as usize];
        chunk.next = next;
        chunk.previous = NIL;
        self.partial = name;
    }

    fn unlink_partial(&mut self, name: u32) {
        let Chunk { next, previous, .. } = self.chunks[name as usize];
        if previous == NIL {
            self.partial = next;
        } else {
            self.chunks[previous as usize].next = next;
        }
        if next != NIL {
            self.chunks[next as usize].previous = previous;
        }
    }
}

impl Entry {
    const VACANT: Entry =
        Entry { deadline: 0, payload: 0, next: NIL, previous: NIL, generation: 0, place: 0 };
}

/// Takes the first chunk off a stack that is not empty.
fn pop(chunks: &mut [Chunk], head: &mut u32) -> u32 {
    let name = *head;
    *head = chunks[name as usize].next;
    name
}

fn push(chunks: &mut [Chunk], head: &mut u32, name: u32) {
    chunks[name as usize].next = *head;
    *head = name;
}

/// The chunk and the offset that an index names.
#[inline]
fn split(index: u32) -> (usize, usize) {
    (index as usize / CHUNK_LEN, index as usize % CHUNK_LEN)
}

/// Entries per chunk: one bit each in a word, 2 KiB in all.
const CHUNK_LEN: usize = u64::BITS as usize;
const ALL: u64 = u64::MAX;
const RETIRED: u32 = u32::MAX;
/// Empty chunks held, 32 KiB in all. A load that swings wider than this many timers pays one
/// allocation per 64 of them, which is less than a nanosecond each.
const SPARE_MAX: u32 = 16;

#[cfg(test)]
impl Slab {
    /// Bytes held for entries and chunks.
    pub(super) fn resident_bytes(&self) -> usize {
        let resident = self.chunks.iter().filter(|chunk| chunk.entries.is_some()).count();
        resident * size_of::<[Entry; CHUNK_LEN]>() + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Leaves the chunk of an entry only `left` further insertions.
    pub(super) fn age(&mut self, index: u32, left: u32) {
        self.chunks[split(index).0].generation = RETIRED - left;
    }

    /// Panics unless every chunk is in the list that its state names, and in no other.
    pub(super) fn check(&self) {
        let listed = |head: u32| {
            std::iter::successors((head != NIL).then_some(head), |&name| {
                let next = self.chunks[name as usize].next;
                (next != NIL).then_some(next)
            })
            .collect::<Vec<_>>()
        };
        let (partial, spare, absent) =
            (listed(self.partial), listed(self.spare), listed(self.absent));
        assert_eq!(spare.len(), self.spare_count as usize);
        for (name, chunk) in self.chunks.iter().enumerate() {
            let name = name as u32;
            let retired = chunk.generation == RETIRED;
            let live = chunk.vacant != ALL;
            let is_in = |list: &[u32]| list.iter().filter(|&&other| other == name).count();
            let is_head = self.partial == name;
            let is_partial = !retired && (live || is_head) && chunk.vacant != 0;
            assert_eq!(is_in(&partial), usize::from(is_partial));
            assert_eq!(
                is_in(&spare),
                usize::from(!retired && !live && !is_head && chunk.entries.is_some())
            );
            assert_eq!(is_in(&absent), usize::from(!retired && chunk.entries.is_none()));
            assert!(chunk.entries.is_some() || !live, "live entries have memory");
        }
        let live = self.chunks.iter().map(|chunk| chunk.vacant.count_zeros() as usize);
        assert_eq!(live.sum::<usize>(), self.len);
    }
}
