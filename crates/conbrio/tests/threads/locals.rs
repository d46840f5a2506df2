//! Values that tasks inherit, beyond what the trio suite asserts.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use conbrio::prelude::*;
use conbrio::{LocalKey, RunLocalKey};

use crate::support::{message_of, on_all_workers, on_workers};

static NUMBER: LocalKey<u32> = LocalKey::new();
static OTHER: LocalKey<u32> = LocalKey::new();
static COUNTER: LocalKey<AtomicU32> = LocalKey::new();

#[test]
fn keys_of_one_type_are_told_apart_and_bindings_nest() {
    on_all_workers(|cx| {
        cx.with_local(&NUMBER, &1, |cx| {
            cx.with_local(&OTHER, &2, |cx| {
                cx.with_local(&NUMBER, &3, |cx| {
                    assert_eq!((cx.local(&NUMBER), cx.local(&OTHER)), (Some(&3), Some(&2)));
                });
                assert_eq!((cx.local(&NUMBER), cx.local(&OTHER)), (Some(&1), Some(&2)));
            });
            assert_eq!((cx.local(&NUMBER), cx.local(&OTHER)), (Some(&1), None));
        });
    });
}

#[test]
fn a_value_is_shared_by_reference_down_to_grandchildren() {
    on_all_workers(|cx| {
        // It lies on this task's stack.
        let counter = AtomicU32::new(0);
        cx.with_local(&COUNTER, &counter, |cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for _ in 0..10 {
                    n.spawn(|cx| {
                        cx.nursery(|_, n| -> Result<(), Cancelled> {
                            for _ in 0..10 {
                                n.spawn(|cx| {
                                    cx.use_local(&COUNTER, |cx, counter| {
                                        cx.yield_now()?;
                                        counter.fetch_add(1, SeqCst);
                                        Ok(())
                                    })
                                    .expect("it is bound")
                                });
                            }
                            Ok(())
                        })
                        .map_err(|error| match error {
                            NurseryError::Cancelled(cancelled) => cancelled,
                            other => panic!("{other}"),
                        })
                    });
                }
                Ok(())
            })
            .unwrap();
        });
        assert_eq!(counter.into_inner(), 100);
    });
}

#[test]
fn a_binding_ends_when_its_closure_unwinds() {
    on_workers(1, |cx| {
        let message = message_of(|| cx.with_local(&NUMBER, &1, |_| panic!("inside")));
        assert_eq!(message, "inside");
        assert_eq!(cx.local(&NUMBER), None);
        assert_eq!(cx.use_local(&NUMBER, |_, _| panic!("nothing is bound")), None::<()>);
    });
}

#[test]
fn a_child_of_start_sees_what_its_nursery_sees() {
    on_all_workers(|cx| {
        cx.with_local(&NUMBER, &1, |cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                // These frames end before the child does.
                let started = cx.with_local(&NUMBER, &2, |cx| {
                    n.start(cx, |cx, started| {
                        started.ready(cx.local(&NUMBER).copied());
                        cx.yield_now()?;
                        assert_eq!(cx.local(&NUMBER), Some(&1));
                        Ok(())
                    })
                });
                assert_eq!(started.unwrap(), Some(1));
                Ok(())
            })
            .unwrap();
        });
    });
}

static SHARED: RunLocalKey<String> = RunLocalKey::new();
static ANOTHER: RunLocalKey<String> = RunLocalKey::new();

#[test]
fn what_restores_a_run_local_fits_its_key_and_its_runtime_only() {
    let stale = on_workers(1, |cx| {
        let before = ANOTHER.set(cx, "another".to_owned());
        assert_eq!(SHARED.get(cx), None);
        let message = message_of(|| SHARED.reset(cx, before));
        assert!(message.contains("another key"), "{message}");
        SHARED.set(cx, "shared".to_owned())
    });
    on_workers(1, |cx| {
        assert_eq!(SHARED.get(cx), None);
        let message = message_of(|| SHARED.reset(cx, stale));
        assert!(message.contains("another runtime"), "{message}");
    });
}

#[test]
fn the_first_of_several_that_make_a_run_local_wins() {
    static MADE: RunLocalKey<u32> = RunLocalKey::new();
    on_all_workers(|cx| {
        let values = cx.nursery(|cx, n| -> Result<Vec<u32>, Cancelled> {
            let mut children: Vec<_> = (0..10)
                .map(|number| n.spawn(move |cx| Ok(*MADE.get_or_init(cx, || number))))
                .collect();
            children.iter_mut().map(|child| child.join(cx)).collect()
        });
        let values = values.unwrap();
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    });
}

#[test]
fn run_locals_are_dropped_with_the_runtime_also_if_they_hold_it() {
    use std::sync::{Arc, Mutex};
    // Something that holds on to the runtime: an unparker.
    #[derive(Default)]
    struct Holds(Mutex<Option<conbrio::lowlevel::Unparker>>, #[expect(dead_code)] Arc<()>);
    impl conbrio::lowlevel::Wait for &Holds {
        fn arm(&mut self, unparker: conbrio::lowlevel::Unparker) {
            *self.0.lock().unwrap() = Some(unparker);
        }
        fn abort(&mut self) -> conbrio::lowlevel::Abort {
            conbrio::lowlevel::Abort::Succeeded
        }
    }
    static HOLDS: RunLocalKey<Holds> = RunLocalKey::new();
    let probe = Arc::new(());
    on_workers(1, |cx| {
        let _ = HOLDS.set(cx, Holds(Mutex::default(), Arc::clone(&probe)));
        let holds = HOLDS.get(cx).unwrap();
        let ended =
            cx.move_on_after(std::time::Duration::from_millis(1), |cx| cx.park_on(&mut &*holds));
        assert!(matches!(ended, Ok(None)));
        assert!(holds.0.lock().unwrap().is_some());
    });
    assert_eq!(Arc::strong_count(&probe), 1);
}
