//! Programs do not inherit what the threads of a runtime block.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use conbrio::Builder;
use conbrio::process::Command;

#[test]
fn a_program_starts_with_no_signal_blocked_whoever_starts_it() {
    let done = AtomicBool::new(false);
    Builder::new()
        .workers(2)
        .run(|cx| {
            cx.nursery(|_, n| -> std::io::Result<()> {
                // The body keeps the first worker, so that it is another one whose thread makes the thread
                // that starts the program: those threads block signals, and pass that on.
                n.spawn(|cx| {
                    let outcome =
                        Command::new("grep").args(["SigBlk", "/proc/self/status"]).output(cx);
                    done.store(true, SeqCst);
                    let said = String::from_utf8(outcome?.stdout).unwrap();
                    assert_eq!(said, "SigBlk:\t0000000000000000\n");
                    Ok(())
                });
                while !done.load(SeqCst) {
                    std::thread::yield_now();
                }
                Ok(())
            })
        })
        .unwrap()
        .unwrap();
}
