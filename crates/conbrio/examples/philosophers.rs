//! Dining philosophers: five tasks, five forks, and each needs the two beside its plate.
//!
//! Run: `cargo run --example philosophers`, or with `-- greedy`
//! Expect: everybody has eaten. If all are greedy, each takes the fork on its left first, and all wait for
//! ever. The runtime finds that nothing can run any more, and says who waits for whom, and where.
//!
//! smoke:
//! smoke-expect: everybody has eaten 3 times
//! smoke: greedy
//! smoke-expect: these tasks wait for each other

use conbrio::prelude::*;
use conbrio::sync::{LockError, Mutex};
use conbrio::testing;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const NAMES: [&str; 5] = ["Aspasia", "Diotima", "Hipparchia", "Hypatia", "Themista"];
const MEALS: u32 = 3;

/// A fork knows how often somebody has eaten with it.
type Fork = Mutex<u32>;

fn dine(
    cx: &mut Cx,
    forks: &[Fork; 5],
    seat: usize,
    greedy: bool,
) -> Result<(), OrCancelled<LockError>> {
    let (mut first, mut second) = (seat, (seat + 1) % forks.len());
    if !greedy && first > second {
        // Everybody takes the fork with the lower number first: then there can be no circle.
        std::mem::swap(&mut first, &mut second);
    }
    for _ in 0..MEALS {
        let mut one = forks[first].lock(cx)?;
        cx.sleep(Duration::from_millis(1))?; // a thought
        let mut other = forks[second].lock(cx)?;
        *one += 1;
        *other += 1;
    }
    Ok(())
}

fn dinner(cx: &mut Cx, greedy: bool) -> Result<u32, NurseryError<OrCancelled<LockError>>> {
    let forks: [Fork; 5] = std::array::from_fn(|_| Mutex::new(0));
    cx.nursery(|_, n| {
        for (seat, name) in NAMES.into_iter().enumerate() {
            let forks = &forks;
            n.task(name).spawn(move |cx| dine(cx, forks, seat, greedy));
        }
        Ok(())
    })?;
    // Two forks a meal.
    Ok(forks.into_iter().map(Mutex::into_inner).sum::<u32>() / 2)
}

fn main() {
    let greedy = std::env::args().nth(1).is_some_and(|word| word == "greedy");
    // A simulated run, in which a deadlock is a fact and not a guess; `Builder::deadlock_check` finds it in
    // an ordinary one.
    let ended = catch_unwind(AssertUnwindSafe(|| testing::run(|cx| dinner(cx, greedy))));
    match ended {
        Ok(meals) => {
            let meals = meals.expect("no philosopher fails");
            println!("everybody has eaten {} times", meals / NAMES.len() as u32);
        }
        Err(payload) => {
            println!("{}", payload.downcast_ref::<String>().expect("the report is a text"));
        }
    }
}
