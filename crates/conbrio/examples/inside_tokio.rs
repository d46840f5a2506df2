//! Tasks inside of an async program.
//!
//! A service is written for tokio, and a part of it is moved over: importing a batch, in steps that all have
//! to be done or none. In tokio the timeout below would drop the future between two steps, and what was begun
//! would stay half done. As a task it is asked to stop, and tidies up.
//!
//! Run with `cargo run --example inside_tokio`.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::threads::Portal;

// spec: S61, S70, S77

fn main() {
    let log = Arc::new(Mutex::new(Vec::new()));
    // The runtime of the tasks has a thread of its own, which ends when `stop` is dropped.
    let (to_main, from_runtime) = mpsc::channel();
    let (stop, stopped) = conbrio::channel::oneshot::<()>();
    let runtime = std::thread::spawn(move || {
        conbrio::run(|cx| {
            cx.portal(|cx, portal| {
                to_main.send(portal.clone()).expect("main waits for it");
                // Nothing is ever sent: its end is what tells.
                let _ = stopped.recv(cx);
            });
        });
    });
    let portal = from_runtime.recv().expect("the runtime starts");

    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("tokio starts")
        .block_on(service(&portal, &log));

    // The portal closes: what still runs is cancelled, and waited for.
    drop(stop);
    runtime.join().expect("no task has panicked");
    let log = log.lock().expect("nothing panics under it");
    assert_eq!(*log, ["small: 2 steps done", "big: cancelled, 0 steps left behind"]);
    println!("{log:#?}");
}

/// The async part of the program.
async fn service(portal: &Portal, log: &Arc<Mutex<Vec<String>>>) {
    let small = import(portal, log, "small", 2);
    small.await.expect("the portal is open");
    let big = import(portal, log, "big", 1_000_000);
    tokio::select! {
        _ = big => unreachable!("it takes days"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    // The future of the task is gone. The task is not: it is cancelled when the portal closes.
}

/// Starts an import as a task. The future says that it is over.
fn import(
    portal: &Portal,
    log: &Arc<Mutex<Vec<String>>>,
    name: &'static str,
    steps: usize,
) -> conbrio::threads::TaskFuture<()> {
    let log = Arc::clone(log);
    portal.start(move |cx| {
        let mut done = Vec::new();
        let outcome = run_steps(cx, steps, &mut done);
        let line = match outcome {
            Ok(()) => format!("{name}: {} steps done", done.len()),
            Err(_cancelled) => {
                // Where a dropped future would never come.
                done.clear();
                format!("{name}: cancelled, {} steps left behind", done.len())
            }
        };
        log.lock().expect("nothing panics under it").push(line);
    })
}

fn run_steps(cx: &mut Cx, steps: usize, done: &mut Vec<usize>) -> Result<(), Cancelled> {
    for step in 0..steps {
        cx.sleep(Duration::from_millis(1))?;
        done.push(step);
    }
    Ok(())
}
