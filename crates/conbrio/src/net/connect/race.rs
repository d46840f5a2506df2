//! Connecting to the first of several addresses that answers: "Happy Eyeballs", RFC 8305, section 5.
//!
//! Attempts begin one after the other, and run side by side. What an attempt is does not matter here, so
//! that the tests below have some of their own.
//!
//! The invariant: when [`first_of`] returns, every attempt has ended, and what all but one of them have made
//! has been dropped.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::cancel::{Cancelled, OrCancelled};
use crate::io::Error;
use crate::lowlevel::ParkingLot;
use crate::net::addrs::none_of_use;
use crate::nursery::Nursery;
use crate::task::Cx;

/// What has become of the attempts so far.
struct Tally<T> {
    winner: Option<T>,
    /// Each with its number, in the order in which they have failed.
    errors: Vec<(usize, io::Error)>,
    /// The first attempt that has stopped for a cancellation, be it for the sake of the winner.
    cancelled: Option<Cancelled>,
}

/// Begins with the first address, and with the next one whenever `delay` has passed without a success, or at
/// once when the attempt before it has failed. Without a `delay` only that lets the next one begin.
pub(super) fn first_of<T>(
    cx: &mut Cx,
    addrs: &[SocketAddr],
    delay: Option<Duration>,
    attempt: impl Fn(&mut Cx, SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    if let [address] = *addrs {
        // By far the most frequent case needs no task of its own.
        return attempt(cx, address).map_err(|error| match error {
            OrCancelled::Failed(error) => none_of_use("connect", vec![(address, error)]).into(),
            cancelled => cancelled,
        });
    }
    let tally = Tally { winner: None, errors: Vec::new(), cancelled: None };
    let tally = ParkingLot::with_state(tally).named("an attempt to connect");
    let mut stopped = None;
    let ended = cx.nursery(|cx, n: &Nursery<'_, '_, Infallible>| {
        for (number, address) in addrs.iter().enumerate() {
            n.task(format!("connect to {address}")).spawn_local(cx, {
                let (tally, attempt) = (&tally, &attempt);
                move |cx| {
                    let outcome = attempt(cx, *address);
                    if record(tally, number, outcome) {
                        n.cancel_with("another address has answered");
                    }
                    Ok(())
                }
            });
            if number + 1 == addrs.len() {
                break;
            }
            let wait = |cx: &mut Cx| wait_for_end(cx, &tally, number);
            let waited = match delay {
                Some(delay) => cx.move_on_after(delay, wait).map(drop),
                None => wait(cx),
            };
            if let Err(cancelled) = waited {
                stopped = Some(cancelled);
                break;
            }
            if tally.lock().winner.is_some() {
                break;
            }
        }
        Ok(())
    });
    ended.expect("neither an attempt nor the body fails in this nursery");
    let Tally { winner, errors, cancelled } = tally.into_inner();
    match (winner, cancelled.or(stopped)) {
        (Some(winner), _) => Ok(winner),
        // Nobody has won, so it came from outside.
        (None, Some(cancelled)) => Err(cancelled.into()),
        (None, None) => {
            let errors = errors.into_iter().map(|(number, error)| (addrs[number], error));
            Err(none_of_use("connect", errors.collect()).into())
        }
    }
}

/// Enters how an attempt has ended. Returns whether it is the first that has succeeded.
fn record<T>(tally: &ParkingLot<Tally<T>>, number: usize, outcome: Result<T, Error>) -> bool {
    let mut tally = tally.lock();
    let mut wins = false;
    // What comes too late is not dropped under the lock.
    let mut late = None;
    match outcome {
        Ok(made) if tally.winner.is_none() => {
            tally.winner = Some(made);
            wins = true;
        }
        Ok(made) => late = Some(made),
        Err(OrCancelled::Failed(error)) => tally.errors.push((number, error)),
        Err(OrCancelled::Cancelled(cancelled)) => {
            tally.cancelled.get_or_insert(cancelled);
        }
    }
    tally.unpark_all();
    drop(tally);
    drop(late);
    wins
}

/// Waits until this attempt has failed, or any has succeeded.
fn wait_for_end<T>(
    cx: &mut Cx,
    tally: &ParkingLot<Tally<T>>,
    number: usize,
) -> Result<(), Cancelled> {
    cx.checkpoint()?;
    loop {
        let state = tally.lock();
        if state.winner.is_some() || state.errors.iter().any(|(failed, _)| *failed == number) {
            return Ok(());
        }
        state.park(cx, &mut ()).map_err(|error| match error {
            OrCancelled::Cancelled(cancelled) => cancelled,
            OrCancelled::Failed(broken) => unreachable!("nobody breaks it: {broken}"),
        })?;
    }
}

/// Moves the first address of the other family to the second place: "if the first address in the sorted
/// list is IPv6, then the first IPv4 address should be moved up in the list to be second" (RFC 8305,
/// section 4). So a family that does not work costs one delay, however many addresses it has.
pub(super) fn mix_families(addrs: &mut [SocketAddr]) {
    let Some(first) = addrs.first() else { return };
    let is_v6 = first.is_ipv6();
    if let Some(other) = addrs.iter().position(|address| address.is_ipv6() != is_v6) {
        addrs[1..=other].rotate_right(1);
    }
}

#[cfg(test)]
mod tests;
