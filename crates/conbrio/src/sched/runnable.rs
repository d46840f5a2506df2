//! The header of everything the scheduler can run, and the protocol by which it stops and is woken.
//!
//! A runnable is pinned: once it has a home worker, only that worker runs it, and the fields marked
//! *home* are touched by that worker alone (before it has a home: by whoever owns the queue it is in).
//! Other threads reach it through three atomics and the inbox of its home.
//!
//! Rules (cited by the SAFETY comments here and in `worker.rs`):
//! 1. A queue, an inbox and the running task each hold one counted reference.
//! 2. `home` is written once, before the first instruction of the runnable, and never changes.
//! 3. Home fields are accessed on the home worker only.
//! 4. A runnable is in at most one inbox, and at most once: `in_inbox` is swapped to `true` by whoever
//!    pushes it and to `false` by the home worker after it has unlinked it.
//! 5. Signals (`attention`, `remote_wake`) are written before `in_inbox` is swapped and read after it
//!    has been swapped back, so that whoever finds it already `true` can rely on the coming drain.
//! 6. A wait is named by `sequence`. A wake that names another one has no effect, so that a late wake
//!    never ends a later wait.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::util::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, model_fence,
};

use crate::util::footprint;

use super::shared::Remote;
use super::worker::Worker;

/// What a kind of runnable can do. All functions are called on the home worker, except `free`.
pub(crate) struct Vtable {
    /// Runs it until it stops or ends. Takes over the reference that the queue held.
    pub(crate) run: unsafe fn(NonNull<Runnable>, &Worker),
    /// Looks at its attention flags (the cancel tree has changed above it).
    pub(crate) attend: unsafe fn(NonNull<Runnable>, &Worker),
    /// Frees the memory; the last reference is gone.
    pub(crate) free: unsafe fn(NonNull<Runnable>),
    /// Describes it to instruments. Called before it is queued for the first time by whoever made it, then
    /// on the home worker.
    pub(crate) identify: Identify,
    /// Whether it has children: others then learn from it of a request. Called on the home worker.
    pub(crate) has_children: unsafe fn(NonNull<Runnable>) -> bool,
}

pub(crate) type Identify = unsafe fn(NonNull<Runnable>, &mut dyn FnMut(Identity<'_>));

/// What instruments learn of a runnable. An id is zero until somebody has asked for it.
pub(crate) struct Identity<'a> {
    pub(crate) id: &'a AtomicU64,
    /// The id of the one whose child it is.
    pub(crate) parent: Option<&'a AtomicU64>,
    pub(crate) name: &'a str,
    pub(crate) waits_for: &'static str,
}

/// Which requests end a wait early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// None: the wait ends when it is woken.
    Never,
    /// A cancellation.
    OnCancel,
    /// A cancellation or a shutdown request.
    OnShutdown,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    Woken,
    Interrupted,
}

/// See the module's documentation.
#[repr(C)]
pub(crate) struct Runnable {
    vtable: &'static Vtable,
    references: AtomicUsize,
    /// Null until it starts (rule 2).
    home: AtomicPtr<Remote>,
    /// The next one in an inbox; written by the pusher, read by the home worker.
    pub(super) next: AtomicPtr<Runnable>,
    in_inbox: AtomicBool,
    /// `DIRTY` and `CANCELLED`: zero on the fast path of every checkpoint.
    attention: AtomicU8,
    /// The greatest wait sequence that another thread has woken.
    remote_wake: AtomicU64,

    // Home fields (rule 3).
    sequence: Cell<u64>,
    woken: Cell<bool>,
    parked: Cell<bool>,
    interrupt: Cell<Interrupt>,
    /// In a simulated run: its name among the tasks of the run; zero before its first turn.
    number: Cell<u32>,
    /// What is left of its turn, in whatever the layer above counts.
    fuel: Cell<u32>,
    /// Where on its stack it has stopped; null before it has ever done so. Only for prefetching.
    stopped_at: Cell<*const u8>,
}

/// The cancel tree above has changed: look at it before relying on `CANCELLED`.
pub(crate) const DIRTY: u8 = 1;
/// The innermost scope is cancelled. Set and cleared by the home worker only.
pub(crate) const CANCELLED: u8 = 2;
/// Somebody wants to know of its checkpoints. Of this bit and the two below the home worker writes all,
/// and they say nothing about the cancel tree.
pub(crate) const WATCHED: u8 = 4;
/// It has looked whether it is cancelled while it was watched.
pub(crate) const LOOKED: u8 = 8;
/// It has let others run while it was watched.
pub(crate) const GAVE_WAY: u8 = 16;
const OF_WATCHING: u8 = WATCHED | LOOKED | GAVE_WAY;

impl Runnable {
    /// A runnable with one reference, which belongs to the queue it will be put into.
    pub(crate) fn new(vtable: &'static Vtable, references: usize) -> Runnable {
        Runnable {
            vtable,
            references: AtomicUsize::new(references),
            home: AtomicPtr::new(std::ptr::null_mut()),
            next: AtomicPtr::new(std::ptr::null_mut()),
            in_inbox: AtomicBool::new(false),
            attention: AtomicU8::new(0),
            remote_wake: AtomicU64::new(0),
            sequence: Cell::new(0),
            woken: Cell::new(false),
            parked: Cell::new(false),
            interrupt: Cell::new(Interrupt::Never),
            number: Cell::new(0),
            fuel: Cell::new(0),
            stopped_at: Cell::new(std::ptr::null()),
        }
    }

    pub(crate) fn vtable(&self) -> &'static Vtable {
        self.vtable
    }

    /// The flags of the cancel tree; anything but zero sends a checkpoint to its slow path.
    #[inline]
    pub(crate) fn attention(&self) -> u8 {
        self.attention.load(Ordering::Relaxed)
    }

    /// Takes the dirty flag; what was written to the tree before it was set is visible afterwards.
    pub(crate) fn take_dirty(&self) -> bool {
        // Pairs with the `fetch_or` in `poke`.
        self.attention.load(Ordering::Relaxed) & DIRTY != 0
            && self.attention.fetch_and(!DIRTY, Ordering::SeqCst) & DIRTY != 0
    }

    /// *Home.* Records whether the innermost scope is cancelled.
    pub(crate) fn set_cancelled(&self, cancelled: bool) {
        let is = self.attention.load(Ordering::Relaxed) & CANCELLED != 0;
        if cancelled && !is {
            self.attention.fetch_or(CANCELLED, Ordering::Relaxed);
        } else if !cancelled && is {
            self.attention.fetch_and(!CANCELLED, Ordering::Relaxed);
        }
    }

    /// Whether its innermost scope was cancelled when its home worker last looked.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.attention() & CANCELLED != 0
    }

    /// *Home.* Whether somebody wants to know of its checkpoints.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.attention() & WATCHED != 0
    }

    /// *Home.* Which of `WATCHED`, `LOOKED` and `GAVE_WAY` are set.
    pub(crate) fn watching(&self) -> u8 {
        self.attention() & OF_WATCHING
    }

    /// *Home.* Sets these of `WATCHED`, `LOOKED` and `GAVE_WAY`, and clears the others of them.
    pub(crate) fn set_watching(&self, bits: u8) {
        // Two steps, between which only other threads may come, and those write `DIRTY` alone.
        self.attention.fetch_and(!OF_WATCHING, Ordering::Relaxed);
        self.attention.fetch_or(bits & OF_WATCHING, Ordering::Relaxed);
    }

    /// The worker it runs on, if it has one yet.
    pub(crate) fn home(&self) -> Option<NonNull<Remote>> {
        // Acquire pairs with the store in `settle_at`: the `Remote` behind it is initialised anyway, but
        // loom likes to know.
        NonNull::new(self.home.load(Ordering::SeqCst))
    }

    /// Gives it its home. From now on `poke` goes through that worker's inbox.
    ///
    /// Sequentially consistent together with `poke`: either the poker sees the home, or the load of
    /// `attention` that follows on the home worker sees the poke.
    pub(crate) fn settle_at(&self, home: NonNull<Remote>) {
        debug_assert!(self.home.load(Ordering::Relaxed).is_null());
        self.home.store(home.as_ptr(), Ordering::SeqCst);
        model_fence();
        // The load that the protocol asks for; its value is looked at by the first checkpoint.
        let _ = self.attention.load(Ordering::SeqCst);
    }

    /// As `settle_at`, for one that nobody can poke yet: whoever gets to know it later sees its home.
    #[inline]
    pub(super) fn settle_unseen_at(&self, home: NonNull<Remote>) {
        debug_assert!(self.home.load(Ordering::Relaxed).is_null());
        self.home.store(home.as_ptr(), Ordering::Release);
    }

    /// Tells the runnable, from any thread, that the cancel tree above it has changed.
    ///
    /// # Safety
    /// The runnable is alive, and if it has started, so is its runtime, until this returns.
    pub(crate) unsafe fn poke(this: NonNull<Runnable>) {
        // What hears of a request is every task below.
        footprint::touch_everything();
        // SAFETY: alive by contract.
        let me = unsafe { this.as_ref() };
        // SeqCst pairs with `settle_at`.
        if me.attention.fetch_or(DIRTY, Ordering::SeqCst) & DIRTY != 0 {
            // Whoever set it first has told the home worker, or the start will see it.
            return;
        }
        model_fence();
        if let Some(home) = me.home() {
            // SAFETY: alive, and its runtime with it, by contract.
            unsafe { Runnable::push_to_home(this, home) };
        }
    }

    /// *Home.* Begins a wait and returns its name. What was woken before is forgotten.
    #[inline]
    pub(crate) fn begin_wait(&self) -> u64 {
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence);
        self.woken.set(false);
        sequence
    }

    /// *Home.* Whether the wait that is going on has been woken.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.get() || self.remote_wake.load(Ordering::Acquire) == self.sequence.get()
    }

    /// *Home.* Marks it as stopped, to be continued by a wake or by what `interrupt` names.
    #[inline]
    pub(crate) fn set_parked(&self, interrupt: Interrupt) {
        self.interrupt.set(interrupt);
        self.parked.set(true);
    }

    /// *Home.* Its number in a simulated run, or zero.
    pub(super) fn number(&self) -> &Cell<u32> {
        &self.number
    }

    /// *Home.* What is left of its turn.
    #[inline]
    pub(crate) fn fuel(&self) -> &Cell<u32> {
        &self.fuel
    }

    /// *Home.* Notes where on its stack it is about to stop.
    #[inline]
    pub(crate) fn note_stop(&self, frame: *const u8) {
        self.stopped_at.set(frame);
    }

    /// *Home.* Brings the stack lines that its next turn begins with into the cache.
    #[inline]
    pub(super) fn prefetch_stack(&self) {
        let frame = self.stopped_at.get();
        if !frame.is_null() {
            for line in 0..STACK_LINES {
                prefetch(frame.wrapping_sub(PUSHED).wrapping_add(line * LINE));
            }
        }
    }

    /// Brings what a turn reads first of the runnable itself into the cache.
    #[inline]
    pub(super) fn prefetch(this: NonNull<Runnable>) {
        let start = this.as_ptr().cast::<u8>().cast_const();
        for line in 0..HEAD_LINES {
            prefetch(start.wrapping_add(line * LINE));
        }
    }

    /// *Home.* Ends the wait named `sequence`; `false` if that one is over already.
    #[inline]
    pub(crate) fn wake_at_home(&self, worker: &Worker, sequence: u64) -> bool {
        if self.sequence.get() != sequence || self.woken.get() {
            return false;
        }
        self.woken.set(true);
        if !self.enqueue_if_parked(worker) {
            // It goes on anyway, and what it finds depends on whether it comes before this or after.
            footprint::touch(self);
        }
        true
    }

    /// *Home.* Ends a wait early if it allows that for this request.
    pub(crate) fn interrupt(&self, worker: &Worker, by: Interrupt) {
        let ends = match self.interrupt.get() {
            Interrupt::Never => false,
            Interrupt::OnCancel => by == Interrupt::OnCancel,
            Interrupt::OnShutdown => true,
        };
        if ends {
            let _ = self.enqueue_if_parked(worker);
        }
    }

    /// `false` if it has not stopped, or can run already.
    #[inline]
    fn enqueue_if_parked(&self, worker: &Worker) -> bool {
        let was_parked = self.parked.replace(false);
        if was_parked {
            // The reference of the queue is the one the stopped runnable kept (rule 1).
            worker.push_woken(NonNull::from(self));
        }
        was_parked
    }

    /// Ends the wait named `sequence`, from any thread.
    ///
    /// # Safety
    /// The runnable is alive and has started, and its runtime is alive, until this returns.
    pub(crate) unsafe fn wake(this: NonNull<Runnable>, sequence: u64) {
        // SAFETY: alive by contract.
        let me = unsafe { this.as_ref() };
        let Some(home) = me.home() else { return };
        if let Some(worker) = Worker::current_if(home) {
            me.wake_at_home(worker, sequence);
            return;
        }
        // The greatest sequence wins: a stale wake must not hide a valid one (rule 6).
        if me.remote_wake.fetch_max(sequence, Ordering::Release) < sequence {
            // SAFETY: by contract.
            unsafe { Runnable::push_to_home(this, home) };
        }
    }

    /// Puts it into the inbox of its home, unless it is there already (rules 4 and 5).
    ///
    /// # Safety
    /// The runnable and its runtime are alive until this returns.
    unsafe fn push_to_home(this: NonNull<Runnable>, home: NonNull<Remote>) {
        // SAFETY: alive by contract.
        let me = unsafe { this.as_ref() };
        if !me.in_inbox.swap(true, Ordering::AcqRel) {
            // The inbox holds a reference of its own (rule 1).
            me.references.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the runtime, which owns the `Remote`, is alive by contract.
            unsafe { home.as_ref() }.deliver(this);
        }
    }

    /// *Home.* Called for each runnable unlinked from the inbox: takes in what the signals say.
    ///
    /// # Safety
    /// `this` was unlinked from the inbox of `worker`, whose reference passes to this call.
    pub(super) unsafe fn receive(this: NonNull<Runnable>, worker: &Worker) {
        // SAFETY: the inbox held a reference (rule 1).
        let me = unsafe { this.as_ref() };
        if me.home().is_none() {
            // Placed here by another worker, to be started: the reference is that of the queue.
            worker.push_placed(this);
            return;
        }
        if me.take_in() {
            let _ = me.enqueue_if_parked(worker);
        }
        if me.attention() & DIRTY != 0 {
            // SAFETY: called on the home worker with a live runnable.
            unsafe { (me.vtable.attend)(this, worker) };
        }
        // SAFETY: the inbox's reference.
        unsafe { Runnable::release(this) };
    }

    /// *Home.* After it was unlinked from the inbox: whether its wait has been woken meanwhile.
    pub(super) fn take_in(&self) -> bool {
        // Rule 5: first swap, then look.
        self.in_inbox.swap(false, Ordering::AcqRel);
        let is_new =
            self.remote_wake.load(Ordering::Acquire) == self.sequence.get() && !self.woken.get();
        if is_new {
            self.woken.set(true);
        }
        is_new
    }

    /// Adds a reference.
    ///
    /// # Safety
    /// The caller holds a reference, or knows that one is held.
    pub(crate) unsafe fn retain(this: NonNull<Runnable>) {
        // SAFETY: alive by contract. Relaxed, as for `Arc`: a new reference comes from an existing one.
        unsafe { this.as_ref() }.references.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a reference back and frees the runnable with the last.
    ///
    /// # Safety
    /// The caller owns the reference and does not use it afterwards.
    pub(crate) unsafe fn release(this: NonNull<Runnable>) {
        // SAFETY: alive by contract.
        let me = unsafe { this.as_ref() };
        // Nobody else holds one: the read-modify-write can be spared.
        if me.references.load(Ordering::Acquire) == 1
            || me.references.fetch_sub(1, Ordering::AcqRel) == 1
        {
            // SAFETY: that was the last reference; acquire ordering makes all uses happen before.
            unsafe { (me.vtable.free)(this) };
        }
    }
}

/// A counted reference to a runnable that may outlive the task, but is used only while its runtime lives.
pub(crate) struct RunnableRef(NonNull<Runnable>);

// SAFETY: what other threads may do through it (`wake`, `poke`, counting) uses only atomics.
unsafe impl Send for RunnableRef {}
// SAFETY: as above.
unsafe impl Sync for RunnableRef {}

impl RunnableRef {
    /// # Safety
    /// The runnable is alive.
    pub(crate) unsafe fn new(runnable: NonNull<Runnable>) -> RunnableRef {
        // SAFETY: alive by contract.
        unsafe { Runnable::retain(runnable) };
        RunnableRef(runnable)
    }

    pub(crate) fn pointer(&self) -> NonNull<Runnable> {
        self.0
    }
}

impl Drop for RunnableRef {
    fn drop(&mut self) {
        // SAFETY: the reference counted in `new`.
        unsafe { Runnable::release(self.0) };
    }
}

const LINE: usize = 64;
/// A switch pushes a few words below the innermost frame.
const PUSHED: usize = 32;
/// The runnable, and the hot fields of the task behind it.
const HEAD_LINES: usize = 3;
/// The frames of the innermost calls of a task that waits close to its start.
const STACK_LINES: usize = 4;

/// A hint to the processor; any address will do.
#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching never faults, and SSE is part of x86_64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
