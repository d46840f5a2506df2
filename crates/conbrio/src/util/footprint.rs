//! What a step of a simulated run has touched, for searches that leave out orders of steps that have nothing
//! to do with each other.
//!
//! Everything through which one task can affect another calls [`touch`], or [`touch_everything`] where it
//! is not worth while to be exact. While nobody records this is one load and a branch.
//!
//! Invariant: two steps whose footprints do not depend on each other lead to the same state in either order.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads record.
static RECORDING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static RECORD: RefCell<Option<Footprint>> = const { RefCell::new(None) };
}

/// What was touched, in no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    everything: bool,
    /// Whether the next one touches everything, too.
    is_final: bool,
    /// By address, which names a place while its owner does not move: a move is a step of its own.
    places: Vec<(usize, How)>,
}

/// How a place was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// In a way that depends on all that was done to it before.
    Alone,
    /// One is taken off a count: in any order this leads to the same.
    CountsDown,
    /// The last one is taken off, and whoever waited for that goes on. Nobody else knows of the count.
    EndsCount,
}

/// What two steps have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dependence {
    /// Their order does not matter.
    Nothing,
    /// The second one can only come after the first.
    Follows,
    /// Their order matters, and could be the other one.
    Races,
}

impl Footprint {
    /// How a later step depends on this one; `has_ended` says of a count whether its last step is this one or
    /// lies between the two.
    pub(crate) fn before(
        &self,
        later: &Footprint,
        has_ended: impl Fn(usize) -> bool,
    ) -> Dependence {
        if self.everything || later.everything {
            return Dependence::Races;
        }
        let pairs =
            self.places.iter().flat_map(|one| later.places.iter().map(move |two| (one, two)));
        let same = pairs.filter(|(one, two)| one.0 == two.0);
        let all = same.map(|(&(place, how), &(_, later))| match (how, later) {
            (How::Alone, _) => Dependence::Races,
            (_, How::CountsDown | How::EndsCount) => Dependence::Nothing,
            (_, How::Alone) if has_ended(place) => Dependence::Follows,
            (_, How::Alone) => Dependence::Races,
        });
        all.max().unwrap_or(Dependence::Nothing)
    }

    /// The counts that come to their end in it.
    pub(crate) fn ended(&self) -> impl Iterator<Item = usize> {
        self.places.iter().filter(|(_, how)| *how == How::EndsCount).map(|(place, _)| *place)
    }

    /// Depends on every other from now on.
    pub(crate) fn widen(&mut self) {
        self.everything = true;
    }

    /// Adds what another one has.
    pub(crate) fn add(&mut self, other: Footprint) {
        self.everything |= other.everything;
        self.is_final |= other.is_final;
        other.places.into_iter().for_each(|(place, how)| self.touch(place, how));
    }

    fn touch(&mut self, place: usize, how: How) {
        if !self.places.contains(&(place, how)) {
            self.places.push((place, how));
        }
    }
}

/// The running step depends on what was done to this place before, or changes it.
#[inline]
pub(crate) fn touch<T: ?Sized>(place: *const T) {
    touch_as(place, How::Alone);
}

/// As [`touch`], in this way.
#[inline]
pub(crate) fn touch_as<T: ?Sized>(place: *const T, how: How) {
    // Relaxed: a thread sees what it has written itself, and nobody else asks for its steps.
    if RECORDING.load(Ordering::Relaxed) != 0 {
        record(place.addr(), how);
    }
}

/// The order of the running step and of any other may matter.
#[inline]
pub(crate) fn touch_everything() {
    if RECORDING.load(Ordering::Relaxed) != 0 {
        record_everything(false);
    }
}

/// From now on the order of any two steps may matter.
#[inline]
pub(crate) fn touch_everything_from_now_on() {
    if RECORDING.load(Ordering::Relaxed) != 0 {
        record_everything(true);
    }
}

/// Never inlined: the address of a thread-local must not be kept across a switch of stacks.
#[cold]
#[inline(never)]
fn record(place: usize, how: How) {
    RECORD.with_borrow_mut(|record| record.as_mut().map(|it| it.touch(place, how)));
}

/// As `record`.
#[cold]
#[inline(never)]
fn record_everything(is_final: bool) {
    RECORD.with_borrow_mut(|record| {
        if let Some(record) = record {
            record.everything = true;
            record.is_final |= is_final;
        }
    });
}

/// While it lives its thread records what is touched.
#[derive(Debug)]
pub(crate) struct Recording {
    /// That of a run in which this one is made.
    outer: Option<Footprint>,
    of_its_thread: PhantomData<*mut ()>,
}

impl Recording {
    pub(crate) fn start() -> Recording {
        let outer = RECORD.replace(Some(Footprint::default()));
        RECORDING.fetch_add(1, Ordering::Relaxed);
        Recording { outer, of_its_thread: PhantomData }
    }

    /// What was touched since it was started, or since this was called last.
    #[expect(clippy::unused_self, reason = "only while it lives there is something to take")]
    pub(crate) fn take(&self) -> Footprint {
        RECORD.with_borrow_mut(|record| {
            let record = record.as_mut().expect("it is there until the recording is dropped");
            let is_final = record.is_final;
            let next = Footprint { everything: is_final, is_final, places: Vec::new() };
            std::mem::replace(record, next)
        })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDING.fetch_sub(1, Ordering::Relaxed);
        RECORD.set(self.outer.take());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_steps_that_touch_the_same_depend_on_each_other() {
        let recording = Recording::start();
        let (one, two) = (1, 2);
        let of = |touched: &dyn Fn()| {
            touched();
            recording.take()
        };
        let nothing = of(&|| {});
        let first = of(&|| touch(&raw const one));
        let both = of(&|| [&raw const one, &raw const two].into_iter().for_each(touch));
        let second = of(&|| touch(&raw const two));
        let all = of(&touch_everything);
        let down = of(&|| touch_as(&raw const one, How::CountsDown));
        let end = of(&|| touch_as(&raw const one, How::EndsCount));
        for (left, right, how) in [
            (&nothing, &nothing, Dependence::Nothing),
            (&first, &first, Dependence::Races),
            (&first, &second, Dependence::Nothing),
            (&first, &both, Dependence::Races),
            (&all, &nothing, Dependence::Races),
            (&nothing, &all, Dependence::Races),
            (&down, &down, Dependence::Nothing),
            (&down, &end, Dependence::Nothing),
            (&first, &down, Dependence::Races),
            (&down, &first, Dependence::Races),
            (&down, &second, Dependence::Nothing),
        ] {
            assert_eq!(left.before(right, |_| false), how, "{left:?} {right:?}");
        }
        assert_eq!(end.ended().collect::<Vec<_>>(), [(&raw const one).addr()]);
        assert_eq!(down.before(&both, |_| true), Dependence::Follows);
    }

    #[test]
    fn one_recording_may_lie_in_another() {
        let outer = Recording::start();
        let (one, two) = (1, 2);
        touch(&raw const one);
        let inner = Recording::start();
        touch(&raw const two);
        let of_inner = inner.take();
        drop(inner);
        assert_eq!(outer.take().before(&of_inner, |_| false), Dependence::Nothing);
        assert_ne!(of_inner, Footprint::default());
    }

    #[test]
    fn nothing_is_recorded_elsewhere() {
        let recording = Recording::start();
        std::thread::spawn(touch_everything).join().unwrap();
        assert_eq!(recording.take(), Footprint::default());
    }
}
