//! Models of who hears of the end of a child: every interleaving is tried.

use std::ptr::NonNull;
use std::sync::Arc as StdArc;
use std::task::{Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::branch::Branch;
use super::group::{Group, Joiner};
use crate::sched::{Identity, Runnable, Vtable, Worker};

/// Counts how often it was woken.
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn bell() -> (StdArc<Bell>, Waker) {
    let bell = StdArc::new(Bell(AtomicUsize::new(0)));
    (StdArc::clone(&bell), Waker::from(bell))
}

static VTABLE: Vtable = Vtable { run, attend, free, identify, has_children };

/// # Safety
/// None: it is never called.
unsafe fn run(_: NonNull<Runnable>, _: &Worker) {
    unreachable!("nothing runs in a model");
}

/// # Safety
/// None: it is never called.
unsafe fn attend(_: NonNull<Runnable>, _: &Worker) {
    unreachable!("nothing runs in a model");
}

/// # Safety
/// None: it is never called.
unsafe fn free(_: NonNull<Runnable>) {
    unreachable!("the model holds it");
}

/// # Safety
/// None: it is never called.
unsafe fn identify(_: NonNull<Runnable>, _: &mut dyn FnMut(Identity<'_>)) {
    unreachable!("a model has no instruments");
}

/// # Safety
/// None: it is never called.
unsafe fn has_children(_: NonNull<Runnable>) -> bool {
    unreachable!("a model is not simulated");
}

/// A nursery with one child, which outlive the threads of a model.
struct Family {
    owner: Branch,
    child: Branch,
    group: Option<Group>,
    runnables: [Runnable; 2],
}

#[derive(Clone, Copy)]
struct Home(NonNull<Family>);

// SAFETY: it is freed by `end`, after the threads were joined. What they call touches no home field of a
// branch but `group`, which the child alone sets, and only reads others under the lock of the group.
unsafe impl Send for Home {}

impl Home {
    fn begin() -> Home {
        let family = Box::leak(Box::new(Family {
            owner: Branch::new(),
            child: Branch::new(),
            group: None,
            runnables: [Runnable::new(&VTABLE, 1), Runnable::new(&VTABLE, 1)],
        }));
        family.owner.attach(NonNull::from(&family.runnables[0]));
        family.child.attach(NonNull::from(&family.runnables[1]));
        family.group = Some(Group::new(&family.owner));
        let this = Home(NonNull::from(family));
        this.group().add(this.child());
        this
    }

    fn group(&self) -> &Group {
        // SAFETY: alive until `end`.
        unsafe { self.0.as_ref() }.group.as_ref().expect("set in `begin`")
    }

    fn child(&self) -> &Branch {
        // SAFETY: alive until `end`.
        &unsafe { self.0.as_ref() }.child
    }

    fn end(self) {
        // SAFETY: made by `Box::leak` in `begin`; the threads have been joined.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A child ends while a select registers for it: the select is told at once, or woken.
#[test]
fn loom_the_end_of_a_child_is_seen_or_wakes() {
    loom::model(|| {
        let home = Home::begin();
        let (bell, waker) = bell();
        let ending = loom::thread::spawn(move || {
            let home = home;
            home.group().count_down(home.child());
        });
        let is_joined = home.group().is_joined_or_wait(home.child(), Joiner::Other(waker));
        ending.join().unwrap();
        let rings = bell.0.load(Ordering::Acquire);
        assert_eq!(rings, usize::from(!is_joined), "told at once, or woken once");
        assert!(home.child().is_done());
        assert_eq!(home.group().live(), 0);
        home.end();
    });
}

/// A child ends while a select takes its registration back: the answer says so, or the end comes later; and
/// nobody is woken after the end has been seen.
#[test]
fn loom_taking_a_joiner_back_misses_no_end() {
    loom::model(|| {
        let home = Home::begin();
        let (bell, waker) = bell();
        assert!(!home.group().is_joined_or_wait(home.child(), Joiner::Other(waker)));
        let ending = loom::thread::spawn(move || {
            let home = home;
            home.group().count_down(home.child());
        });
        let has_ended = home.group().stop_joining(home.child());
        ending.join().unwrap();
        let rings = bell.0.load(Ordering::Acquire);
        assert_eq!(rings, usize::from(has_ended), "woken exactly if it was still registered");
        assert!(home.child().is_done());
        home.end();
    });
}
