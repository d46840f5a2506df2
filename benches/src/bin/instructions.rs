//! One operation, a given number of times, for a tool that counts instructions.
//!
//! `instructions <operation> <times>` runs it, `instructions` lists the operations. It measures nothing
//! itself: `cargo xtask instructions` runs it twice under callgrind, and the difference of the two counts,
//! divided by the difference of the numbers of times, is what one operation costs, free of start and end.
//! One worker, so that equal runs count equally.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use conbrio::{Builder, Cancelled, Cx, NurseryError};

type Result<T = ()> = std::result::Result<T, NurseryError<Cancelled>>;

struct Operation {
    name: &'static str,
    run: fn(&mut Cx, usize) -> Result,
}

const OPERATIONS: &[Operation] = &[
    Operation { name: "checkpoint", run: |cx, times| repeat(times, || Ok(cx.checkpoint()?)) },
    Operation { name: "yield-alone", run: |cx, times| repeat(times, || Ok(cx.yield_now()?)) },
    Operation { name: "yield-among-100", run: yield_among },
    Operation {
        name: "scope",
        run: |cx, times| {
            repeat(times, || {
                black_box(cx.cancel_scope(|_, _| Ok::<_, Cancelled>(black_box(1_u64)))?);
                Ok(())
            })
        },
    },
    Operation {
        name: "timeout",
        run: |cx, times| {
            repeat(times, || {
                black_box(cx.move_on_after(LONG, |_| Ok::<_, Cancelled>(black_box(1_u64)))?);
                Ok(())
            })
        },
    },
    Operation {
        name: "timeout-around-yield",
        run: |cx, times| {
            repeat(times, || {
                black_box(cx.move_on_after(LONG, |cx| cx.yield_now())?);
                Ok(())
            })
        },
    },
    Operation {
        name: "nursery-empty",
        run: |cx, times| repeat(times, || cx.nursery(|_, _| Ok(()))),
    },
    Operation { name: "spawn-join", run: spawn_join },
    Operation { name: "spawn-in-nursery", run: spawn_in_nursery },
    Operation { name: "sleeper-cancelled", run: sleepers },
];

/// Longer than any run, and short enough for every store of timers.
const LONG: Duration = Duration::from_secs(3_600);
const BATCH: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => {
            for operation in OPERATIONS {
                println!("{}", operation.name);
            }
            ExitCode::SUCCESS
        }
        [name, times] => match (find(name), times.parse()) {
            (Some(operation), Ok(times)) => {
                let run = Builder::new().workers(1).run(|cx| (operation.run)(cx, times));
                run.expect("a runtime").expect("nothing here fails");
                ExitCode::SUCCESS
            }
            (None, _) => refuse(&format!("no operation is called {name:?}")),
            (_, Err(error)) => refuse(&format!("{times:?} times: {error}")),
        },
        _ => refuse("usage: instructions [<operation> <times>]"),
    }
}

fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

fn repeat(times: usize, mut operation: impl FnMut() -> Result) -> Result {
    for _ in 0..times {
        operation()?;
    }
    Ok(())
}

/// `times` yields in all.
fn yield_among(cx: &mut Cx, times: usize) -> Result {
    cx.nursery(|_, n| {
        for _ in 0..BATCH {
            n.spawn(|cx| {
                for _ in 0..times / BATCH {
                    cx.yield_now()?;
                }
                Ok(())
            });
        }
        Ok(())
    })
}

fn spawn_join(cx: &mut Cx, times: usize) -> Result {
    cx.nursery(|cx, n| {
        for _ in 0..times {
            black_box(n.spawn(|_| Ok(black_box(1_u64))).join(cx)?);
        }
        Ok(())
    })
}

/// `times` children in all.
fn spawn_in_nursery(cx: &mut Cx, times: usize) -> Result {
    repeat(times / BATCH, || {
        cx.nursery(|_, n| {
            for _ in 0..BATCH {
                n.spawn(|_| Ok(black_box(1_u64)));
            }
            Ok(())
        })
    })
}

/// `times` children in all: spawned, asleep, cancelled.
fn sleepers(cx: &mut Cx, times: usize) -> Result {
    repeat(times / BATCH, || {
        let outcome = cx.nursery(|cx, n| {
            for _ in 0..BATCH {
                n.spawn(|cx| cx.sleep(LONG));
            }
            cx.yield_now()?;
            n.cancel();
            Ok(())
        });
        match outcome {
            Ok(()) | Err(NurseryError::Stopped(_)) => Ok(()),
            Err(error) => Err(error),
        }
    })
}
