//! The loop of a worker: pick, run, look at I/O and time, search, sleep.
//!
//! Order of work. Two classes wait to run: unstarted children and what was woken. They alternate, so
//! that neither starves the other. What yielded comes after both have been served once, so that a task
//! that gives way gives way to everybody. I/O and timers are looked at when both classes are empty, and
//! after [`POLL_INTERVAL`] picks at the latest, so that busy tasks cannot starve them.

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use conbrio_reactor::Timeout;
use crossbeam_deque::Steal;

use crate::clock::NEVER;
use crate::util::abort::{AbortGuard, abort};
use crate::util::atomic::{Ordering, spin_loop};
use crate::util::choices::Choices;

use super::runnable::Runnable;
use super::worker::{IoWait, Worker};

/// After this many picks the worker looks at I/O and timers, and takes the oldest child for once.
const POLL_INTERVAL: u32 = 61;
/// How many turns ahead cells and stacks are fetched: the stack's address is in the cell.
const PREFETCH_CELL: usize = 8;
const PREFETCH_STACK: usize = 4;
/// Pauses between two looks of a search.
const SPINS_PER_ROUND: u32 = 50;
/// After about this time without use the memory of a stack or a cell is given back.
const UNUSED_FOR: Duration = Duration::from_secs(1);
/// Half a millisecond's work, or much less if it is cells.
const GIVEN_AT_ONCE: usize = 1024;
/// The sentinel's naps: the first, and the longest.
pub(super) const WATCH_MIN: Duration = Duration::from_micros(100);
const WATCH_MAX: Duration = Duration::from_millis(10);

impl Worker {
    /// Runs until the runtime stops. Everything that tasks borrow from each other depends on it.
    pub(crate) fn run(&self) {
        let guard = AbortGuard::new("the scheduler panicked");
        self.enter(|| self.run_until_stopped());
        if self.remote().live.load(Ordering::Relaxed) != 0 || self.reactor.in_flight() != 0 {
            abort("a worker left its loop with tasks alive");
        }
        guard.disarm();
    }

    fn run_until_stopped(&self) {
        loop {
            if !self.remote().inbox.is_empty() {
                self.drain_inbox();
            }
            if let Some(runnable) = self.pick() {
                self.run_one(runnable);
                if self.picks.get().wrapping_sub(self.polled_at.get()) >= POLL_INTERVAL {
                    self.look_around();
                }
            } else if !self.rest() {
                return;
            }
        }
    }

    /// Nothing can run: looks for something, or sleeps. `false` when the runtime stops.
    #[cold]
    fn rest(&self) -> bool {
        self.look_around();
        if self.has_work() {
            return true;
        }
        if self.shared().is_stopping() {
            return false;
        }
        if !self.search() {
            self.sleep();
        }
        true
    }

    pub(super) fn run_one(&self, runnable: NonNull<Runnable>) {
        if self.shared().instruments().is_observed() {
            self.run_observed(runnable);
        } else {
            self.run_turn(runnable);
        }
    }

    #[inline]
    pub(super) fn run_turn(&self, runnable: NonNull<Runnable>) {
        self.current.set(Some(runnable));
        // SAFETY: it comes from a queue of this worker, whose reference passes to `run`.
        unsafe { (runnable.as_ref().vtable().run)(runnable, self) };
        self.current.set(None);
    }

    #[inline]
    pub(super) fn pick(&self) -> Option<NonNull<Runnable>> {
        let pick = self.picks.get().wrapping_add(1);
        self.picks.set(pick);
        if let Some(order) = &self.order {
            return self.pick_by_choice(order);
        }
        let picked = if pick.is_multiple_of(2) {
            self.pick_child(pick).or_else(|| self.pick_woken())
        } else {
            self.pick_woken().or_else(|| self.pick_child(pick))
        };
        picked.or_else(|| self.pick_yielded())
    }

    /// What yielded has its turn when nothing else waits.
    #[inline]
    fn pick_yielded(&self) -> Option<NonNull<Runnable>> {
        if self.time_was_changed() {
            self.look_around();
        }
        if self.yielded.is_empty() {
            return None;
        }
        // Both queues keep their buffers: no allocation in steady state.
        self.yielded.swap(&self.woken);
        self.yield_due.set(self.one_round());
        self.pick_woken()
    }

    #[inline]
    fn pick_woken(&self) -> Option<NonNull<Runnable>> {
        let later = self.woken.peek(PREFETCH_CELL);
        let soon = self.woken.peek(PREFETCH_STACK);
        let next = self.woken.pop_oldest();
        // With many tasks each turn begins with cache and TLB misses: the cells and stacks of those
        // whose turn comes next are fetched meanwhile.
        if let Some(later) = later {
            Runnable::prefetch(later);
        }
        if let Some(soon) = soon {
            // SAFETY: queued runnables are alive.
            unsafe { soon.as_ref() }.prefetch_stack();
        }
        next
    }

    #[inline]
    fn pick_child(&self, pick: u32) -> Option<NonNull<Runnable>> {
        if self.children.is_empty() {
            return None;
        }
        // Newest first keeps recursive fork-join small. The oldest in between must not starve.
        if pick.is_multiple_of(POLL_INTERVAL)
            && let Some(child) = self.children.pop_oldest()
        {
            return Some(child);
        }
        self.children.pop_newest()
    }

    /// As `pick`, where somebody decides what it leaves open.
    #[cold]
    #[inline(never)]
    fn pick_by_choice(&self, order: &Choices) -> Option<NonNull<Runnable>> {
        let open = !self.children.is_empty() && !self.woken.is_empty();
        let child_first = open && order.below("something woken or a new child", 2) == 1;
        let picked = if child_first {
            self.choose_child(order).or_else(|| self.choose_woken(order))
        } else {
            self.choose_woken(order).or_else(|| self.choose_child(order))
        };
        picked.or_else(|| {
            if self.time_was_changed() {
                self.look_around();
            }
            self.woken.append(&self.yielded);
            self.choose_woken(order)
        })
    }

    fn choose_woken(&self, order: &Choices) -> Option<NonNull<Runnable>> {
        if self.woken.len() > 1 {
            self.woken.bring_forward(order.below("which woken task runs", self.woken.len()));
        }
        self.woken.pop_oldest()
    }

    fn choose_child(&self, order: &Choices) -> Option<NonNull<Runnable>> {
        let oldest =
            self.children.len() > 1 && order.below("the newest or the oldest child", 2) == 1;
        let child = if oldest { self.children.pop_oldest() } else { None };
        child.or_else(|| self.children.pop_newest())
    }

    /// Whether the running task would be the next to run if it gave way now, so that it may as well go
    /// on. Then that counts as a turn.
    ///
    /// Whatever else the loop does between two turns is left to it: news in the inbox, a clock that was
    /// moved, a look around that is due, choices that somebody else makes, and instruments that hear of
    /// every turn.
    #[inline]
    pub(crate) fn would_run_next(&self) -> bool {
        let pick = self.picks.get().wrapping_add(1);
        let alone = self.yielded.is_empty()
            && self.woken.is_empty()
            && self.children.is_empty()
            && self.remote().inbox.is_empty()
            && !self.time_was_changed()
            && pick.wrapping_sub(self.polled_at.get()) < POLL_INTERVAL
            && self.order.is_none()
            && !self.shared().instruments().is_observed();
        if alone {
            self.picks.set(pick);
        }
        alone
    }

    pub(super) fn has_work(&self) -> bool {
        !self.woken.is_empty()
            || !self.children.is_empty()
            || !self.yielded.is_empty()
            || !self.remote().inbox.is_empty()
    }

    #[inline]
    pub(super) fn time_was_changed(&self) -> bool {
        self.shared().time_changes.load(Ordering::Relaxed) != self.seen_time_changes.get()
    }

    /// Takes in completions and expired timers, without sleeping.
    pub(super) fn look_around(&self) {
        self.polled_at.set(self.picks.get());
        self.seen_time_changes.set(self.shared().time_changes.load(Ordering::SeqCst));
        if self.reactor.in_flight() > 0 {
            self.poll(Timeout::Now);
        }
        self.fire_expired();
        self.take_injected();
        // What yielded long ago must not wait until there is nothing else to do.
        if self.yielded.is_empty() {
            self.yield_due.set(self.picks.get());
        } else if self.picks.get().wrapping_sub(self.yield_due.get()) < u32::MAX / 2 {
            self.woken.append(&self.yielded);
            self.yield_due.set(self.one_round());
        }
    }

    /// When everything that is woken now will have had its turn, in picks.
    fn one_round(&self) -> u32 {
        let round = u32::try_from(self.woken.len()).unwrap_or(u32::MAX / 4).min(u32::MAX / 4);
        self.picks.get().wrapping_add(round)
    }

    /// Returns whether anything has completed.
    pub(super) fn poll(&self, timeout: Timeout) -> bool {
        let mut completions = self.completions.take();
        let (timeout, polled) = self.tell_before_poll(timeout);
        if let Err(error) = self.reactor.poll(timeout, &mut completions) {
            abort(&format!("the reactor failed: {error}"));
        }
        self.tell_polled(polled);
        let any = !completions.is_empty();
        for completion in completions.drain(..) {
            let wait: *const IoWait =
                std::ptr::with_exposed_provenance(completion.token.0 as usize);
            // SAFETY: the token is the address of an `IoWait` whose frame stays until its wait has
            // ended, which is now (rule D1 of the driver); waking only marks the runnable.
            let wait = unsafe { &*wait };
            wait.outcome.set(Some(completion.outcome));
            // SAFETY: a task with a wait in flight is alive.
            unsafe { wait.runnable.as_ref() }.wake_at_home(self, wait.sequence);
        }
        self.completions.replace(completions);
        any
    }

    /// Looks for children of others, and whether one of them wakes a task here; `true` if there is something
    /// to run now.
    fn search(&self) -> bool {
        let workers = self.shared().workers();
        if workers == 1 {
            return false;
        }
        let crew = &self.shared().crew;
        // At most half of the workers steal: more of them only disturb each other. The rest watch the inbox:
        // whoever has just woken a task elsewhere is about to hear from it.
        let steals = crew.searching.load(Ordering::Relaxed) * 2 < workers;
        if steals {
            crew.searching.fetch_add(1, Ordering::SeqCst);
        }
        let deadline = self.patience.deadline(self.reactor.in_flight());
        let mut found;
        loop {
            found = steals && self.steal();
            if found || !self.remote().inbox.is_empty() || self.shared().is_stopping() {
                break;
            }
            // Nobody who could hand over work is awake.
            if crew.sleeping.load(Ordering::Relaxed) + 1 >= workers || Instant::now() >= deadline {
                break;
            }
            for _ in 0..SPINS_PER_ROUND {
                spin_loop();
            }
        }
        let last = steals && crew.searching.fetch_sub(1, Ordering::SeqCst) == 1;
        if found && last {
            // The one that found something wakes the next: to take of the rest, or to be the sentinel in
            // its place.
            let rest = !self.children.is_empty();
            if rest || !crew.sentinel.load(Ordering::Relaxed) {
                self.wake_a_thief();
            }
        }
        found || self.has_work()
    }

    pub(super) fn steal(&self) -> bool {
        let shared = self.shared();
        self.take_injected();
        if !self.children.is_empty() {
            return true;
        }
        let Some(deque) = self.children.deque() else { return false };
        let workers = shared.workers();
        let start = match &self.order {
            None => self.rng.below(workers),
            Some(order) => order.below("whom to steal from", workers),
        };
        for step in 0..workers {
            let victim = &shared.remotes[(start + step) % workers];
            if victim.index() == self.index() {
                continue;
            }
            loop {
                match victim.stealer.steal_batch(deque) {
                    Steal::Success(()) => {
                        self.watch.set(WATCH_MIN);
                        return true;
                    }
                    Steal::Empty => break,
                    // Somebody else got one: that is progress of the whole, so this ends.
                    Steal::Retry => {}
                }
            }
        }
        false
    }

    /// Wakes one sleeper to steal from here, unless somebody is looking already.
    ///
    /// A missed wake only delays: this worker runs its children itself in the end.
    pub(super) fn wake_a_thief(&self) {
        let shared = self.shared();
        if shared.crew.sleeping.load(Ordering::Relaxed) == 0
            || shared.crew.searching.load(Ordering::Relaxed) != 0
        {
            return;
        }
        let workers = shared.workers();
        for step in 1..workers {
            if shared.remotes[(self.index() + step) % workers].wake() {
                return;
            }
        }
    }

    /// Sleeps in the reactor until something comes.
    fn sleep(&self) {
        let shared = self.shared();
        let remote = self.remote();
        let nap = self.tidy_up();
        let watched = shared.quiet.is_watched();
        let next = if watched {
            let earliest = self.next_deadline();
            remote.earliest.store(earliest, Ordering::SeqCst);
            remote.in_flight.store(self.reactor.in_flight(), Ordering::SeqCst);
            earliest
        } else {
            self.timers().wake_no_later_than().unwrap_or(NEVER)
        };
        shared.crew.lie_down(&remote.status);
        // After having lain down: look once more (see `idle.rs`).
        let disturbed = !remote.inbox.is_empty()
            || !shared.injector.is_empty()
            || shared.is_stopping()
            || shared.time_changes.load(Ordering::SeqCst) != self.seen_time_changes.get()
            || (!watched && shared.quiet.is_watched());
        if disturbed {
            // Whatever it was, the loop comes across it.
            self.rise();
            return;
        }
        let until_deadline = match next {
            NEVER => None,
            at => Some(shared.timeline().real_time_until(at)),
        };
        if watched {
            self.sleep_watched(until_deadline);
        } else {
            let began = Instant::now();
            self.sleep_as_sentinel(earlier(until_deadline, nap));
            self.patience.slept(began, !self.lies());
        }
        self.rise();
    }

    /// Gives back memory of tasks that was not used for a while; a worker that is about to sleep has the time.
    /// Returns for how long it may sleep until it has to look after the rest, or else a program that is idle
    /// from now on would keep what its busiest moment has used.
    fn tidy_up(&self) -> Option<Duration> {
        let (mut stacks, cells) = (self.stacks().borrow_mut(), self.cells());
        if !stacks.has_surplus() && !cells.has_surplus() {
            return None;
        }
        let now = Instant::now();
        if now.saturating_duration_since(self.tidied_up_at.get()) >= UNUSED_FOR {
            self.tidied_up_at.set(now);
            stacks.mark_unused();
            cells.mark_unused();
        }
        if stacks.trim_marked(GIVEN_AT_ONCE) || cells.trim_marked(GIVEN_AT_ONCE) {
            return Some(Duration::ZERO);
        }
        (stacks.has_surplus() || cells.has_surplus()).then_some(UNUSED_FOR)
    }

    /// The end of a sleep; it is here that a worker stops while a deadlock is reported.
    fn rise(&self) {
        let crew = &self.shared().crew;
        crew.rise(&self.remote().status);
        crew.wait_while_frozen();
    }

    /// Sleeps while somebody waits for a moment in which all workers are idle.
    fn sleep_watched(&self, until_deadline: Option<Duration>) {
        let shared = self.shared();
        let mut prospect = shared.quiet_prospect();
        loop {
            let Some(hope) = prospect else {
                // Others work: there may be children to take from them.
                self.sleep_as_sentinel(until_deadline);
                return;
            };
            if until_deadline.is_some_and(|deadline| deadline < hope.cushion) {
                self.poll(until_deadline.map_or(Timeout::Never, timeout_of));
                return;
            }
            if self.poll(timeout_of(hope.cushion)) || !self.lies() {
                return;
            }
            prospect = shared.quiet_came(hope, self.remote());
            if prospect.is_none() {
                // It counted, or somebody disturbed it, or the clock wants to sleep. If nothing of that
                // has woken this worker, it sleeps until something does.
                if self.lies() && !self.time_was_changed() && !self.has_work() {
                    self.poll(until_deadline.map_or(Timeout::Never, timeout_of));
                }
                return;
            }
        }
    }

    /// Sleeps; one sleeper at a time wakes from time to time to look after workers that are busy.
    ///
    /// A child that its parent spawned and then left waiting behind a long computation is not worth a
    /// system call at every spawn; the sentinel finds it within [`WATCH_MAX`].
    ///
    /// When everybody sleeps, there is nobody to look after; but they may only wait for a moment. So the
    /// sentinel stays for one long nap, and longer as long as it finds at the end of a nap that somebody
    /// has been awake. Without it, the next spawn would have to wake a thief, and so would each spawn of
    /// a program whose tasks all wait every now and then.
    fn sleep_as_sentinel(&self, until_deadline: Option<Duration>) {
        let shared = self.shared();
        let crew = &shared.crew;
        let awakenings = crew.awakenings.load(Ordering::SeqCst);
        let others_work = crew.sleeping.load(Ordering::SeqCst) < shared.workers();
        let is_needed = others_work || awakenings != self.seen_awakenings.get();
        let has_others = shared.workers() > 1;
        let is_sentinel = has_others && is_needed && !crew.sentinel.swap(true, Ordering::SeqCst);
        let mut timeout = until_deadline;
        if is_sentinel {
            let nap = if others_work { self.watch.get() } else { WATCH_MAX };
            self.watch.set((nap * 2).min(WATCH_MAX));
            timeout = earlier(timeout, Some(nap));
        }
        let any = self.poll(timeout.map_or(Timeout::Never, timeout_of));
        if is_sentinel {
            crew.sentinel.store(false, Ordering::SeqCst);
            let slept_through = !any && self.lies() && timeout != until_deadline;
            // This worker is about to rise, which counts as well, and is the only one if nobody else has.
            self.seen_awakenings.set(awakenings + u64::from(slept_through));
            // It has work of its own now, and will not look: what waits already is left to the next.
            let left_behind = shared.remotes.iter().any(|r| !r.stealer.is_empty());
            if !slept_through && left_behind {
                self.wake_a_thief();
            }
        }
    }

    /// Whether this worker has lain down and nobody has woken it.
    fn lies(&self) -> bool {
        self.remote().status.load(Ordering::SeqCst) == super::idle::SLEEPING
    }

    fn take_injected(&self) {
        if self.shared().injector.is_empty() {
            return;
        }
        if let Steal::Success(child) = self.shared().injector.steal() {
            self.children.push(child);
        }
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

fn timeout_of(duration: Duration) -> Timeout {
    if duration.is_zero() { Timeout::Now } else { Timeout::After(duration) }
}
