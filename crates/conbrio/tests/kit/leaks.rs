//! The checks for leaks find what was left behind, and nothing else.
//!
//! What counts for the whole process runs in a process of its own.

use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::leaks;

use crate::support::{in_a_process_of_its_own, message_of};

#[test]
fn a_runtime_leaves_nothing_behind_in_the_process() {
    in_a_process_of_its_own("leaks::a_runtime_leaves_nothing_behind_in_the_process", || {
        let all_kinds = || {
            conbrio::Builder::new()
                .workers(4)
                .run(|cx| {
                    let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
                    let address = listener.local_addr().unwrap();
                    cx.nursery(|cx, n| -> std::io::Result<()> {
                        for _ in 0..50 {
                            n.spawn(move |cx| {
                                let stream = TcpStream::connect(cx, address)?;
                                cx.blocking(|| ())?;
                                cx.sleep(Duration::from_micros(100))?;
                                drop(stream);
                                Ok(())
                            });
                        }
                        cx.yield_now()?;
                        Ok(())
                    })
                    .unwrap();
                })
                .unwrap();
        };
        // What is opened once for the process stays.
        all_kinds();
        leaks::assert_none(all_kinds);
        leaks::assert_none(|| conbrio::testing::run(|cx| cx.sleep(Duration::from_secs(1))))
            .unwrap();
    });
}

#[test]
fn descriptors_and_threads_that_stay_are_named() {
    in_a_process_of_its_own("leaks::descriptors_and_threads_that_stay_are_named", || {
        assert_eq!(leaks::assert_none(|| 7), 7);
        let mut kept = None;
        let message = message_of(|| {
            leaks::assert_none(|| kept = Some(std::fs::File::open("/dev/null").unwrap()));
        });
        assert!(message.contains("descriptor") && message.contains("/dev/null"), "{message}");

        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let mut thread = None;
        let message = message_of(|| {
            leaks::assert_none(|| {
                let builder = std::thread::Builder::new().name("stays".into());
                thread = Some(builder.spawn(move || stopped.recv()).unwrap());
                // The name is set by the thread itself.
                while !std::fs::read_dir("/proc/self/task").unwrap().any(|task| {
                    let name = std::fs::read_to_string(task.unwrap().path().join("comm"));
                    name.is_ok_and(|name| name.trim() == "stays")
                }) {}
            });
        });
        assert!(message.contains("'stays'"), "{message}");
        drop(stop);
        assert!(thread.unwrap().join().unwrap().is_err());
    });
}

#[test]
fn a_runtime_is_back_where_it_was() {
    for workers in [1, 2] {
        conbrio::Builder::new()
            .workers(workers)
            .run(|cx| {
                leaks::assert_none_in(cx, |cx| {
                    cx.nursery(|cx, n| -> Result<(), Cancelled> {
                        for _ in 0..20 {
                            n.spawn(|cx| cx.sleep_forever());
                        }
                        cx.move_on_after(Duration::from_micros(10), |cx| cx.sleep_forever())?;
                        n.cancel();
                        Ok(())
                    })
                    .unwrap();
                });
            })
            .unwrap();
    }
}

#[test]
fn what_is_left_in_a_runtime_is_named() {
    conbrio::Builder::new()
        .workers(1)
        .run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let message = message_of(|| {
                    leaks::assert_none_in(cx, |cx| {
                        n.spawn(|cx| cx.sleep(Duration::from_secs(3600)));
                        cx.yield_now().unwrap();
                    });
                });
                assert!(message.ends_with("1 tasks, 1 stacks, 1 timers"), "{message}");
                n.cancel();
                Ok(())
            })
            .unwrap();
            assert_eq!((cx.statistics().timers, cx.statistics().tasks), (0, 1));
        })
        .unwrap();
}
