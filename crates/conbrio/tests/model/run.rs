//! The real side: runs a program on the runtime and returns what happened. The only place that knows how
//! a runtime for the campaign is made.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use conbrio::testing::{self, MockClock};
use conbrio::{Builder, Cx};

use crate::interpret::{Place, execute};
use crate::nursery::STACK_BYTES;
use crate::program::{Crew, Dropped, Program};
use crate::trace::{Event, What};
use crate::world::{MAIN, World, outcome};

pub(crate) fn run(program: &Program, dropped: &Dropped) -> Vec<Event> {
    let clock = MockClock::new().autojump(Duration::ZERO);
    match program.crew {
        Crew::Real => Builder::new()
            .workers(1)
            .seed(program.seed)
            .clock(clock)
            // A task that nobody wakes is an abort with a report, and no hang.
            .deadlock_check(true)
            .stack_size(STACK_BYTES)
            .run(|cx| main(cx, program, dropped))
            .expect("the system has room for one more runtime"),
        Crew::Simulated(workers) => testing::Builder::new()
            .workers(workers)
            .seed(program.seed)
            .clock(clock)
            .stack_size(STACK_BYTES)
            .run(|cx| main(cx, program, dropped)),
    }
}

fn main(cx: &mut Cx, program: &Program, dropped: &Dropped) -> Vec<Event> {
    let world = World::new(program, dropped, cx.now());
    world.note(cx, What::TaskBegan { task: MAIN });
    let result = catch_unwind(AssertUnwindSafe(|| {
        let stash = RefCell::new(None);
        let place = Place {
            world: &world,
            task: MAIN,
            env: None,
            scopes: None,
            stash: &stash,
            ready: None,
        };
        execute(cx, &place, &program.tasks[usize::from(MAIN)])
    }));
    world.note(cx, What::TaskEnded { task: MAIN, outcome: outcome(&result) });
    drop(result);
    world.into_log()
}
