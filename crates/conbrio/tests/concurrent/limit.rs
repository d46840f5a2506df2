//! Nurseries with a limit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Running, ms, on_workers, panic_text};

#[test]
fn spawning_waits_for_a_free_place() {
    explore(0..60, |cx| {
        let running = Running::default();
        let began = cx.now();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let limited = n.limit(3);
            assert_eq!(limited.free(), 3);
            for _ in 0..9 {
                limited.spawn(cx, |cx| {
                    let _running = running.enter();
                    cx.sleep(ms(10))
                })?;
            }
            assert_eq!(cx.now() - began, ms(20));
            Ok(())
        })
        .unwrap();
        assert_eq!((running.most(), running.ever(), cx.now() - began), (3, 9, ms(30)));
    });
}

#[test]
fn places_go_to_who_waits_longest() {
    explore(0..100, |cx| {
        let order = std::sync::Mutex::new(Vec::new());
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let limited = n.limit(1);
            limited.spawn(cx, |cx| cx.sleep(ms(100)))?;
            for i in 0..5 {
                let (limited, order) = (limited.clone(), &order);
                n.spawn(move |cx| {
                    cx.sleep(ms(i))?;
                    limited.spawn(cx, move |cx| {
                        order.lock().unwrap().push(i);
                        cx.sleep(ms(10))
                    })?;
                    Ok(())
                });
            }
            // Nobody gets past those who wait.
            cx.sleep(ms(50))?;
            assert!(limited.try_spawn(|_| Ok(())).is_err());
            Ok(())
        })
        .unwrap();
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_place_is_free_again_however_its_child_ends() {
    run(|cx| {
        let result = catch_unwind(AssertUnwindSafe(|| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let limited = n.limit(1);
                let mut child = limited.spawn(cx, |cx| cx.sleep_forever())?;
                child.cancel();
                assert!(child.join(cx).is_err());
                let place = limited.place(cx)?;
                assert_eq!(limited.free(), 0);
                drop(place);
                assert_eq!(limited.free(), 1);
                let mut child = limited.place(cx)?.spawn(|_| Ok(7));
                assert_eq!(child.join(cx)?, 7);
                limited.spawn(cx, |_| -> Result<(), Cancelled> { panic!("on purpose") })?;
                cx.shield(|cx| limited.spawn(cx, |_| Ok(())))?;
                Ok(())
            })
        }));
        assert!(result.is_err());
    });
    let text = panic_text(|| {
        run(|cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.limit(0);
                Ok(())
            })
            .unwrap()
        })
    });
    assert!(text.contains("at least one"), "{text}");
}

#[test]
fn limits_on_real_workers() {
    on_workers(|cx| {
        let running = Running::default();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let limited = n.limit(4);
            for _ in 0..500 {
                limited.spawn(cx, |cx| {
                    let _running = running.enter();
                    cx.yield_now()
                })?;
            }
            Ok(())
        })
        .unwrap();
        assert!(running.most() <= 4 && running.ever() == 500);
    });
}
