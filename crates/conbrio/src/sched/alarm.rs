//! Alarms: deadlines that live in frames of tasks, and how they get into the timer store.
//!
//! Most timeouts are over before their task stops for the first time. So an alarm that was just set waits
//! in a short list, from which it is cheap to take it back. It goes into the store when somebody wants to
//! know what the store holds.
//!
//! Rules:
//! 1. An alarm stays in place from when it is set until it is cancelled or has fired.
//! 2. Its state says where it is: `New(n)` exactly if it is the entry `n` of the list. A key may be that
//!    of a timer that has expired; keys are not used twice, so to cancel it then does nothing.

use std::cell::{Cell, RefMut};
use std::ptr::NonNull;

use crate::clock::{NEVER, Ticks};
use crate::timer::{TimerKey, Timers};

use super::worker::Worker;

/// A deadline that lives in a waiting frame. The first field of whatever the timer store points to.
#[repr(C)]
pub(crate) struct Alarm {
    /// Called on the home worker when the deadline has passed.
    fire: unsafe fn(NonNull<Alarm>, &Worker),
    state: Cell<State>,
}

#[derive(Clone, Copy)]
enum State {
    Unset,
    New(u32),
    Stored(TimerKey),
}

/// An entry of the list of alarms that were just set; `None` if it was cancelled.
pub(super) type NewAlarm = Option<(Ticks, NonNull<Alarm>)>;

impl Alarm {
    #[inline]
    pub(crate) fn new(fire: unsafe fn(NonNull<Alarm>, &Worker)) -> Alarm {
        Alarm { fire, state: Cell::new(State::Unset) }
    }
}

impl Worker {
    /// Sets an alarm that is not set, or has fired. One for [`NEVER`] stays unset.
    ///
    /// # Safety
    /// The alarm stays in place until it has fired or was cancelled.
    #[inline]
    pub(crate) unsafe fn set_alarm(&self, at: Ticks, alarm: NonNull<Alarm>) {
        if at == NEVER {
            return;
        }
        let mut new = self.new_alarms.borrow_mut();
        // SAFETY: alive by contract.
        unsafe { alarm.as_ref() }.state.set(State::New(new.len() as u32));
        new.push(Some((at, alarm)));
        if new.len() == NEW_ALARMS_MAX {
            drop(new);
            self.store_new_alarms();
        }
    }

    /// Takes an alarm back. Does nothing if it is not set, or has fired.
    #[inline]
    pub(crate) fn cancel_alarm(&self, alarm: &Alarm) {
        if !matches!(alarm.state.get(), State::Unset) {
            self.take_back(alarm);
        }
    }

    #[inline(never)]
    fn take_back(&self, alarm: &Alarm) {
        match alarm.state.replace(State::Unset) {
            State::Unset => {}
            State::New(place) => {
                let mut new = self.new_alarms.borrow_mut();
                new[place as usize] = None;
                // Scopes nest, so that it is usually the last one.
                while let Some(None) = new.last() {
                    new.pop();
                }
            }
            State::Stored(key) => {
                self.timers.borrow_mut().cancel(key);
            }
        }
    }

    /// The store, with every alarm that is set.
    pub(super) fn timers(&self) -> RefMut<'_, Timers> {
        if !self.new_alarms.borrow().is_empty() {
            self.store_new_alarms();
        }
        self.timers.borrow_mut()
    }

    /// How many alarms are set.
    pub(crate) fn alarms(&self) -> usize {
        self.timers().len()
    }

    fn store_new_alarms(&self) {
        let mut timers = self.timers.borrow_mut();
        for (at, alarm) in self.new_alarms.borrow_mut().drain(..).flatten() {
            let key = timers.insert(at, alarm.as_ptr().expose_provenance() as u64);
            // SAFETY: rule 1.
            unsafe { alarm.as_ref() }.state.set(State::Stored(key));
        }
    }

    /// Fires what has expired.
    pub(crate) fn fire_expired(&self) {
        if self.timers().is_empty() {
            return;
        }
        let now = self.shared().timeline().now();
        let mut expired = self.expired.take();
        self.timers().expire(now, &mut expired);
        for payload in expired.drain(..) {
            let alarm: *mut Alarm = std::ptr::with_exposed_provenance_mut(payload as usize);
            if let Some(alarm) = NonNull::new(alarm) {
                // SAFETY: rule 1: in place until it has fired; firing only marks runnables, so no frame
                // ends between the alarms of one batch.
                unsafe { (alarm.as_ref().fire)(alarm, self) };
            }
        }
        self.expired.replace(expired);
        // What a deadline cancels knows of it before any task of this worker goes on.
        self.drain_inbox();
    }
}

/// More than scopes with deadlines are nested in a turn, and a bound where they end out of order.
const NEW_ALARMS_MAX: usize = 16;
