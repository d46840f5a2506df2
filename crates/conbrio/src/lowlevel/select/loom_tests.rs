//! Models of the claim: every interleaving of the sources of one select, or future, is tried.
//!
//! The sources are as small as they can be; what matters is in which order they claim, complete and wake, as
//! the rules of the module say. A waker stands for the task of the select: an unparker has models of its own,
//! in `sched`.

use std::sync::Arc as StdArc;
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::claim::{Claim, Party};
use crate::util::brief_lock::BriefLock;

/// Counts how often it was woken.
struct Bell(AtomicUsize);

impl Bell {
    fn new() -> (StdArc<Bell>, Waker) {
        let bell = StdArc::new(Bell(AtomicUsize::new(0)));
        (StdArc::clone(&bell), Waker::from(bell))
    }

    fn rings(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A source that hands one item over, or keeps it.
struct HandsOver(BriefLock<Hands>);

struct Hands {
    claim: Option<Claim>,
    kept: Option<u32>,
    handed: Option<u32>,
}

impl HandsOver {
    fn new(party: &StdArc<Party>, arm: usize, item: u32) -> Arc<HandsOver> {
        let claim = Some(Claim::new(party, arm));
        Arc::new(HandsOver(BriefLock::new(Hands { claim, kept: Some(item), handed: None })))
    }

    /// Has the item for whoever waits: `queue.rs` of the exchange does this, with more who wait.
    fn offer(&self) {
        let mut hands = self.0.lock();
        let Some(claim) = hands.claim.take() else { return };
        let claimed = claim.claim();
        if claimed.is_some() {
            hands.handed = hands.kept.take();
        }
        drop(hands);
        drop(claimed);
    }

    /// `unregister`, and then `poll`.
    fn leave(&self) -> (Option<u32>, Option<u32>) {
        let mut hands = self.0.lock();
        let unused = hands.claim.take();
        let (kept, handed) = (hands.kept, hands.handed);
        drop(hands);
        drop(unused);
        (kept, handed)
    }
}

/// Two sources have an item at the same time: one hands it over, the other keeps its own, and the one who
/// waits has been woken.
#[test]
fn loom_exactly_one_of_two_sources_hands_over() {
    loom::model(|| {
        let (bell, waker) = Bell::new();
        let party = Party::of_future();
        party.set_waker(&waker);
        let sources = [HandsOver::new(&party, 0, 10), HandsOver::new(&party, 1, 11)];
        let threads = sources.clone().map(|source| thread::spawn(move || source.offer()));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(bell.rings(), 1, "the winner wakes, and nobody else");
        let winner = party.close().expect("one of them has won");
        for (index, source) in sources.iter().enumerate() {
            let item = Some(10 + u32::try_from(index).unwrap());
            let expected = if index == winner { (None, item) } else { (item, None) };
            assert_eq!(source.leave(), expected);
        }
    });
}

/// The select gives up, as when it is cancelled, while two sources have an item: either one has been handed
/// over, and the select sees it, or both were kept.
#[test]
fn loom_giving_up_loses_no_item() {
    // Three threads that take locks in turn are too many for all interleavings. Mistakes of this kind show with
    // few preemptions (Musuvathi, Qadeer, "Iterative context bounding", PLDI 2007).
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (_bell, waker) = Bell::new();
        let party = Party::of_future();
        party.set_waker(&waker);
        let sources = [HandsOver::new(&party, 0, 10), HandsOver::new(&party, 1, 11)];
        let threads = sources.clone().map(|source| thread::spawn(move || source.offer()));
        let winner = party.close();
        // In the order of the select: the outcome is fixed, and then each arm is unregistered.
        let left = sources.clone().map(|source| source.leave());
        for (index, (kept, handed)) in left.into_iter().enumerate() {
            assert_eq!(handed.is_some(), winner == Some(index), "what was won is visible at once");
            assert_eq!(kept.is_some(), handed.is_none());
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(party.close(), winner, "it is decided once");
        for (source, before) in sources.iter().zip(left) {
            assert_eq!(source.leave(), before, "nothing happens after that");
        }
    });
}

/// A future gets another waker while a source ends its wait: it sees the end, or the new waker is woken.
#[test]
fn loom_the_last_waker_is_woken_or_the_end_is_seen() {
    loom::model(|| {
        let ((_old, first), (new, second)) = (Bell::new(), Bell::new());
        let party = Party::of_future();
        party.set_waker(&first);
        let source = HandsOver::new(&party, 0, 10);
        let offering = {
            let source = source.clone();
            thread::spawn(move || source.offer())
        };
        // As `poll_queued` of a channel's futures does: first the waker, then the look.
        party.set_waker(&second);
        let seen = source.0.lock().handed.is_some();
        offering.join().unwrap();
        assert!(seen || new.rings() == 1, "the wake-up was lost");
    });
}

/// A source that becomes ready while it is registered with: the select is told at once, or woken.
#[test]
fn loom_becoming_ready_is_seen_or_wakes() {
    loom::model(|| {
        let (bell, waker) = Bell::new();
        let party = Party::of_future();
        party.set_waker(&waker);
        // Two events, each a flag and those who wait for it.
        let events = [(); 2].map(|()| Arc::new(BriefLock::new((false, None::<Claim>))));
        let threads = events.clone().map(|event| {
            thread::spawn(move || {
                let mut state = event.lock();
                state.0 = true;
                let waiting = state.1.take();
                drop(state);
                if let Some(claim) = waiting {
                    claim.wake();
                }
            })
        });
        let mut is_ready = false;
        for (arm, event) in events.iter().enumerate() {
            let mut state = event.lock();
            is_ready |= state.0;
            if is_ready {
                break;
            }
            state.1 = Some(Claim::new(&party, arm));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(is_ready || bell.rings() > 0, "the wake-up was lost");
        assert_eq!(party.close(), None, "nobody has claimed anything");
    });
}
