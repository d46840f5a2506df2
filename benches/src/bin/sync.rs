//! What do the primitives of `conbrio::sync` cost beside those of `tokio::sync`, free and contended?
//!
//! All of conbrio's keep the order of arrival and hand over; so do tokio's. What would change our minds: a
//! contended hand-over that costs more than tokio's, for then the holder's name and the check whether it has
//! ended are too dear.
//!
//! The samples of both sides take turns in one process, so that a change of the machine's mood meets both.
//! Tasks that contend give way while they hold the lock, so that there are always three that wait.
//!
//! Run: `cargo run --release -p conbrio-benches --bin sync`

use std::hint::black_box;
use std::time::{Duration, Instant};

use conbrio::{Cx, NurseryError, OrCancelled};
use conbrio_benches::machine;
use conbrio_benches::stats::Spread;

/// One operation on each side: nanoseconds for each of so many.
struct Question {
    text: &'static str,
    conbrio: fn(u32) -> f64,
    tokio: fn(u32) -> f64,
}

const QUESTIONS: &[Question] = &[
    Question { text: "mutex, free", conbrio: |n| free(n, 0), tokio: |n| tokio_free(n, 0) },
    Question { text: "read lock, free", conbrio: |n| free(n, 1), tokio: |n| tokio_free(n, 1) },
    Question { text: "write lock, free", conbrio: |n| free(n, 2), tokio: |n| tokio_free(n, 2) },
    Question { text: "semaphore, free", conbrio: |n| free(n, 3), tokio: |n| tokio_free(n, 3) },
    Question {
        text: "mutex, 4 tasks, 1 worker",
        conbrio: |n| contended(n, 1, false),
        tokio: |n| tokio_contended(n, 1, false),
    },
    Question {
        text: "mutex, 4 tasks, 2 workers",
        conbrio: |n| contended(n, 2, false),
        tokio: |n| tokio_contended(n, 2, false),
    },
    Question {
        text: "semaphore of 1, 4 tasks, 1 worker",
        conbrio: |n| contended(n, 1, true),
        tokio: |n| tokio_contended(n, 1, true),
    },
];

fn main() {
    println!("{}\n", machine::line());
    if let Some(warning) = machine::warning() {
        println!("{warning}\n");
    }
    println!("nanoseconds per operation, median (least–greatest) of {ROUNDS} rounds");
    println!("{:<36}{:<26}{:<26}ratio", "", "conbrio", "tokio");
    for question in QUESTIONS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=ROUNDS {
            let (a, b) = ((question.conbrio)(OPERATIONS), (question.tokio)(OPERATIONS));
            if round > 0 {
                ours.push(a);
                theirs.push(b);
            }
        }
        let ratio = Spread::of_ratios(&ours, &theirs);
        let (ours, theirs) = (Spread::of(&ours).to_string(), Spread::of(&theirs).to_string());
        println!("{:<36}{ours:<26}{theirs:<26}{ratio}", question.text);
    }
}

fn per_operation(elapsed: Duration, operations: u32) -> f64 {
    elapsed.as_nanos() as f64 / f64::from(operations)
}

fn free(operations: u32, which: u8) -> f64 {
    let run = conbrio::Builder::new().workers(1).run(|cx| -> Result<Duration, Failure> {
        let mutex = conbrio::sync::Mutex::new(0_u64);
        let lock = conbrio::sync::RwLock::new(0_u64);
        let semaphore = conbrio::sync::Semaphore::new(1);
        let begun = Instant::now();
        for _ in 0..operations {
            match which {
                0 => *mutex.lock(cx)? += 1,
                1 => {
                    black_box(*lock.read(cx)?);
                }
                2 => *lock.write(cx)? += 1,
                _ => drop(semaphore.acquire(cx)?),
            }
        }
        Ok(begun.elapsed())
    });
    per_operation(run.expect("a runtime").expect("nobody cancels or fails"), operations)
}

fn tokio_free(operations: u32, which: u8) -> f64 {
    let elapsed = tokio_runtime(1).block_on(async {
        let mutex = tokio::sync::Mutex::new(0_u64);
        let lock = tokio::sync::RwLock::new(0_u64);
        let semaphore = tokio::sync::Semaphore::new(1);
        let begun = Instant::now();
        for _ in 0..operations {
            match which {
                0 => *mutex.lock().await += 1,
                1 => {
                    black_box(*lock.read().await);
                }
                2 => *lock.write().await += 1,
                _ => drop(semaphore.acquire().await.expect("it is not closed")),
            }
        }
        begun.elapsed()
    });
    per_operation(elapsed, operations)
}

type Failure = OrCancelled<conbrio::sync::LockError>;

fn contended(operations: u32, workers: usize, by_permits: bool) -> f64 {
    let (mutex, semaphore) = (conbrio::sync::Mutex::new(0_u64), conbrio::sync::Semaphore::new(1));
    let work = |cx: &mut Cx| -> Result<(), Failure> {
        for _ in 0..operations / TASKS {
            if by_permits {
                let _permit = semaphore.acquire(cx)?;
                cx.yield_now()?;
            } else {
                let mut value = mutex.lock(cx)?;
                cx.yield_now()?;
                *value += 1;
            }
        }
        Ok(())
    };
    let run = conbrio::Builder::new().workers(workers).run(|cx| {
        let begun = Instant::now();
        cx.nursery(|_, n| -> Result<(), Failure> {
            for _ in 0..TASKS {
                n.spawn(work);
            }
            Ok(())
        })?;
        Ok::<_, NurseryError<Failure>>(begun.elapsed())
    });
    per_operation(run.expect("a runtime").expect("nobody cancels or fails"), operations)
}

fn tokio_contended(operations: u32, workers: usize, by_permits: bool) -> f64 {
    let mutex = std::sync::Arc::new(tokio::sync::Mutex::new(0_u64));
    let semaphore = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let elapsed = tokio_runtime(workers).block_on(async {
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            let (mutex, semaphore) = (mutex.clone(), semaphore.clone());
            tasks.spawn(async move {
                for _ in 0..operations / TASKS {
                    if by_permits {
                        let _permit = semaphore.acquire().await.expect("it is not closed");
                        tokio::task::yield_now().await;
                    } else {
                        let mut value = mutex.lock().await;
                        tokio::task::yield_now().await;
                        *value += 1;
                    }
                }
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome.expect("no task panics");
        }
        begun.elapsed()
    });
    per_operation(elapsed, operations)
}

fn tokio_runtime(workers: usize) -> tokio::runtime::Runtime {
    let built = match workers {
        1 => tokio::runtime::Builder::new_current_thread().build(),
        _ => tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build(),
    };
    built.expect("a runtime")
}

const OPERATIONS: u32 = 200_000;
const TASKS: u32 = 4;
const ROUNDS: usize = 7;
