//! Services end when the others have.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Fault, Running, ms, names, panic_text};

#[test]
fn services_outlive_their_users_and_end_then() {
    explore(0..100, |cx| {
        let (services_run, users) = (Running::default(), Running::default());
        let began = cx.now();
        let value = cx.nursery_with_services(|_, n, services| -> Result<u32, Fault> {
            for _ in 0..2 {
                services.spawn(|cx| {
                    let _service = services_run.enter();
                    let result = cx.sleep_forever();
                    assert_eq!(users.now(), 0, "a user is left");
                    Ok(result?)
                });
            }
            for i in 1..=3 {
                let (services_run, users) = (&services_run, &users);
                n.spawn(move |cx| {
                    let _user = users.enter();
                    cx.sleep(ms(10 * i))?;
                    assert_eq!(services_run.now(), 2);
                    Ok(())
                });
            }
            Ok(7)
        });
        assert_eq!((value.unwrap(), cx.now() - began), (7, ms(30)));
        assert_eq!((services_run.now(), users.ever()), (0, 3));
    });
}

#[test]
fn a_service_that_fails_cancels_all() {
    explore(0..100, |cx| {
        let result = cx.nursery_with_services(|_, n, services| {
            services.task("service").spawn(|cx| {
                cx.sleep(ms(1))?;
                Err::<(), _>(Fault::Named("service"))
            });
            n.spawn(|cx| Ok(cx.sleep_forever()?));
            Ok(())
        });
        assert_eq!(names(result), ["service"]);
    });
}

#[test]
fn errors_of_children_and_services_are_all_kept() {
    explore(0..100, |cx| {
        let result = cx.nursery_with_services(|_, n, services| {
            services.spawn(|cx| cx.sleep_forever().map_err(|_| Fault::Named("service")));
            n.spawn(|cx| cx.sleep_forever().map_err(|_| Fault::Named("sibling")));
            n.spawn(|cx| {
                cx.sleep(ms(1))?;
                Err::<(), _>(Fault::Named("child"))
            });
            Ok(())
        });
        assert_eq!(names(result), ["child", "sibling", "service"]);
    });
}

#[test]
fn a_service_may_end_early_and_children_may_use_it() {
    run(|cx| {
        let ready = AtomicBool::new(false);
        cx.nursery_with_services(|cx, n, services| -> Result<(), Fault> {
            let address = services
                .start(cx, |cx, started| {
                    cx.sleep(ms(5))?;
                    started.ready(80);
                    ready.store(true, SeqCst);
                    Ok(())
                })
                .unwrap();
            assert_eq!(address, 80);
            n.spawn(move |cx| {
                // Children start services, too.
                services.spawn(|cx| Ok(cx.sleep_forever()?));
                Ok(cx.sleep(ms(1))?)
            });
            Ok(())
        })
        .unwrap();
        assert!(ready.into_inner());
    });
}

// spec: N2
#[test]
fn a_cancellation_from_outside_ends_all() {
    explore(0..100, |cx| {
        let running = Running::default();
        for service_completes in [false, true] {
            let outcome = cx.move_on_after(ms(5), |cx| {
                cx.nursery_with_services(|_, n, services| -> Result<(), Fault> {
                    let running = &running;
                    services.spawn(move |cx| {
                        let _running = running.enter();
                        let result = cx.sleep_forever();
                        if service_completes { Ok(()) } else { Ok(result?) }
                    });
                    n.spawn(move |cx| {
                        let _running = running.enter();
                        Ok(cx.sleep_forever()?)
                    });
                    Ok(())
                })
            });
            assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        }
        assert_eq!((running.now(), running.ever()), (0, 4));
        // Stopped from inside.
        let stopped = cx.nursery_with_services(|cx, n, services| -> Result<(), Fault> {
            services.spawn(|cx| Ok(cx.sleep_forever()?));
            n.cancel();
            Ok(cx.checkpoint()?)
        });
        assert!(matches!(stopped, Err(NurseryError::Stopped(_))), "{stopped:?}");
    });
}

#[test]
fn panics_of_services_come_out() {
    let text = panic_text(|| {
        run(|cx| {
            cx.nursery_with_services(|_, n, services| -> Result<(), Fault> {
                services.spawn(|_| -> Result<(), Fault> { panic!("service") });
                n.spawn(|cx| Ok(cx.sleep_forever()?));
                Ok(())
            })
        })
    });
    assert_eq!(text, "service");
}
