//! How many runs a second an exploration makes: the figure in the guide.

use std::time::Instant;

use conbrio::prelude::*;
use conbrio::testing::{exhaust, explore};

use crate::support::is_slow_wanted;

fn three_tasks(cx: &mut Cx) {
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        for _ in 0..3 {
            n.spawn(|cx| {
                cx.checkpoint()?;
                cx.checkpoint()
            });
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_exploration_makes_many_runs_a_second() {
    if !is_slow_wanted("the speed of explorations") {
        return;
    }
    let begun = Instant::now();
    let runs = explore(0..50_000, three_tasks).runs();
    let explored = runs as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let runs: u64 = (0..20).map(|_| exhaust(usize::MAX, three_tasks).runs()).sum();
    let exhausted = runs as f64 / begun.elapsed().as_secs_f64();
    println!("{explored:.0} runs/s explored, {exhausted:.0} runs/s exhausted");
    // A tenth of what an idle machine does in a build without optimization.
    assert!(explored > 1_000.0 && exhausted > 2_000.0);
}
