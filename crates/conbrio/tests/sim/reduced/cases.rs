//! Two tasks and one thing that they share, for each sort of things: what they see of each other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error;
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use conbrio::RunLocalKey;
use conbrio::channel::{self, OneOf2, after};
use conbrio::prelude::*;
use conbrio::sync::{Event, OnceCell, Singleflight, local};
use conbrio::testing::Builder;

/// What is shared, and what its two tasks see.
type Case = (&'static str, fn(&mut Cx) -> String);

/// Runs both, each on a worker of its own where there are several. Neither sees what the other returns.
fn both(
    cx: &mut Cx,
    one: impl FnOnce(&mut Cx) -> String + Send,
    two: impl FnOnce(&mut Cx) -> String + Send,
) -> String {
    let (first, second) = (Mutex::new(String::new()), Mutex::new(String::new()));
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        n.spawn(|cx| {
            *first.lock().unwrap() = one(cx);
            Ok(())
        });
        n.spawn(|cx| {
            *second.lock().unwrap() = two(cx);
            Ok(())
        });
        Ok(())
    })
    .unwrap();
    format!("{} {}", first.into_inner().unwrap(), second.into_inner().unwrap())
}

/// As `both`, on one worker.
fn both_here(
    cx: &mut Cx,
    one: impl FnOnce(&mut Cx) -> String,
    two: impl FnOnce(&mut Cx) -> String,
) -> String {
    let (first, second) = (RefCell::new(String::new()), RefCell::new(String::new()));
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn_local(cx, |cx| Ok(_ = first.replace(one(cx))));
        n.spawn_local(cx, |cx| Ok(_ = second.replace(two(cx))));
        Ok(())
    })
    .unwrap();
    format!("{} {}", first.into_inner(), second.into_inner())
}

const SECOND: Duration = Duration::from_secs(1);

static RUN_LOCAL: RunLocalKey<u32> = RunLocalKey::new();

const CASES: &[Case] = &[
    ("the order of errors", |cx| {
        let result = cx.nursery(|_, n| -> Result<(), Box<dyn Error + Send + Sync>> {
            for number in ["one", "two", "three"] {
                n.spawn(move |_| Err::<(), _>(number.into()));
            }
            Ok(())
        });
        format!("{result:?}")
    }),
    ("the end of a child", |cx| {
        cx.nursery(|cx, n| -> Result<String, Cancelled> {
            let child = n.spawn(|cx| cx.checkpoint());
            cx.checkpoint()?;
            let is_finished = child.is_finished();
            // The end of a nursery is another step.
            cx.checkpoint()?;
            Ok(is_finished.to_string())
        })
        .unwrap()
    }),
    ("the choice of a select", |cx| {
        let (left, left_end) = channel::bounded(1);
        let (right, right_end) = channel::bounded(1);
        both(
            cx,
            move |cx| match cx.select((left_end.receiving(), right_end.receiving())).unwrap() {
                OneOf2::First(item) => format!("left {item:?}"),
                OneOf2::Second(item) => format!("right {item:?}"),
            },
            move |cx| {
                let send = |sender: channel::Sender<u32>| {
                    move |cx: &mut Cx| {
                        // The select waits by then.
                        cx.sleep(SECOND).unwrap();
                        sender.try_send(1).is_ok().to_string()
                    }
                };
                both(cx, send(left), send(right))
            },
        )
    }),
    ("an arm that is given up as its item comes", |cx| {
        let (sender, receiver) = channel::bounded(1);
        both(
            cx,
            |cx| format!("{:?}", cx.select((receiver.receiving(), after(SECOND))).ok()),
            |cx| {
                cx.sleep(SECOND).unwrap();
                let is_sent = sender.try_send(1).is_ok();
                cx.checkpoint().unwrap();
                format!("{is_sent} {:?}", sender.statistics().len)
            },
        )
    }),
    ("a watched value", |cx| {
        let (sender, receiver) = channel::watch(0);
        both(cx, move |_| sender.send(1).to_string(), move |_| receiver.value().to_string())
    }),
    ("a broadcast", |cx| {
        let (sender, mut receiver) = channel::broadcast(1);
        both(cx, move |_| sender.send(1).to_string(), move |_| format!("{:?}", receiver.try_recv()))
    }),
    ("a single item", |cx| {
        let (sender, receiver) = channel::oneshot();
        both(
            cx,
            move |_| sender.send(1).is_ok().to_string(),
            move |_| format!("{:?}", receiver.try_recv().ok()),
        )
    }),
    ("an event", |cx| {
        let event = Event::new();
        both(cx, |_| event.is_set().to_string(), |_| event.set().to_string())
    }),
    ("a value made once", |cx| {
        let cell = OnceCell::new();
        both(cx, |_| cell.set(1).is_ok().to_string(), |_| format!("{:?}", cell.get()))
    }),
    ("work done once", |cx| {
        let flights = Singleflight::new();
        let fly = |cx: &mut Cx, name: u32| {
            let made = flights.run(cx, &"key", |cx| cx.checkpoint().map(|()| name));
            made.unwrap().to_string()
        };
        both(cx, |cx| fly(cx, 1), |cx| fly(cx, 2))
    }),
    ("a value of the run", |cx| {
        both(
            cx,
            |cx| {
                let _ = RUN_LOCAL.set(cx, 1);
                String::new()
            },
            |cx| format!("{:?}", RUN_LOCAL.get(cx)),
        )
    }),
    ("the order in which they are done", |cx| {
        let order = cx.map_concurrent_unordered(2, [1, 2], |cx, item| {
            cx.checkpoint()?;
            Ok::<_, Cancelled>(item)
        });
        format!("{order:?}")
    }),
    ("what futures share", |cx| {
        let count = AtomicU32::new(0);
        let add = |cx: &mut Cx| {
            let added = poll_fn(|_| Poll::Ready(count.fetch_add(1, Relaxed)));
            cx.wait(added).unwrap().to_string()
        };
        both(cx, add, add)
    }),
    ("what blocking calls share", |cx| {
        let count = AtomicU32::new(0);
        let add = |cx: &mut Cx| cx.blocking(|| count.fetch_add(1, Relaxed)).unwrap().to_string();
        both(cx, add, add)
    }),
    ("a scope", |cx| {
        cx.nursery(|cx, n| -> Result<String, Cancelled> {
            let handle = n.handle();
            let seen = Mutex::new(String::new());
            let result = cx.nursery(|_, inner| -> Result<(), Cancelled> {
                inner.spawn(|_| {
                    n.cancel();
                    Ok(())
                });
                inner.spawn(|_| {
                    *seen.lock().unwrap() = handle.is_cancelled().to_string();
                    Ok(())
                });
                Ok(())
            });
            Ok(format!("{} {:?}", result.is_ok(), seen.into_inner()))
        })
        .unwrap_or_default()
    }),
    ("a scope that is left", |cx| {
        let (sender, receiver) = channel::oneshot();
        both(
            cx,
            move |cx| {
                let done: Result<Option<()>, Cancelled> = cx.cancel_scope(|cx, scope| {
                    sender.send(scope.handle()).unwrap();
                    cx.checkpoint()
                });
                done.is_ok().to_string()
            },
            move |cx| receiver.recv(cx).unwrap().is_open().to_string(),
        )
    }),
    ("the number of children", |cx| {
        cx.nursery(|cx, n| -> Result<String, Cancelled> {
            n.spawn(|cx| cx.checkpoint());
            let before = n.child_count();
            cx.checkpoint()?;
            let after = n.child_count();
            cx.checkpoint()?;
            Ok(format!("{before} {after}"))
        })
        .unwrap()
    }),
    ("a lock of one worker", |cx| {
        let lock = local::Mutex::new(());
        let look = |cx: &mut Cx| match lock.try_lock() {
            Ok(_guard) => cx.checkpoint().is_ok().to_string(),
            Err(error) => error.to_string(),
        };
        both_here(cx, look, look)
    }),
    ("permits of one worker", |cx| {
        let permits = local::Semaphore::new(1);
        let look = |cx: &mut Cx| match permits.try_acquire() {
            Ok(_permit) => cx.checkpoint().is_ok().to_string(),
            Err(error) => error.to_string(),
        };
        both_here(cx, look, look)
    }),
    ("an event of one worker", |cx| {
        let event = local::Event::new();
        both_here(cx, |_| event.is_set().to_string(), |_| event.set().to_string())
    }),
];

#[test]
fn each_sort_of_things_that_tasks_share_is_seen() {
    for &(name, run) in CASES {
        let outcomes = |options: Builder| {
            let seen = RefCell::new(BTreeSet::new());
            let proof = options.exhaust(|cx| _ = seen.borrow_mut().insert(run(cx)));
            assert!(proof.complete(), "{name}: {proof}");
            (seen.into_inner(), proof)
        };
        let (all, _) = outcomes(Builder::new().preemptions_max(usize::MAX));
        let (found, proof) = outcomes(super::reduced());
        assert_eq!(found, all, "{name}: {proof}");
        assert!(all.len() > 1, "{name}: {all:?}");
    }
}
