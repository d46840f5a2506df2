//! N17: each combinator, cancelled at every point at which it can see that.

use crate::trial::was_cancelled;
use std::sync::Mutex;

use conbrio::concurrent::{Pool, Restart, Schedule, Supervisor, SupervisorError};
use conbrio::prelude::*;
use conbrio::testing::{Trial, cancel_at_every_checkpoint};

use super::support::{Fault, Running, ms};

/// The trial must have at least `points` points.
#[track_caller]
fn at_every_point(points: usize, body: impl FnMut(&mut Cx, &Trial) + Send) {
    let passed = cancel_at_every_checkpoint(body);
    assert!(passed >= points, "{passed} points: it did not wait where it was to wait");
}

/// Takes a millisecond, and notes when it is done.
fn step(
    cx: &mut Cx,
    running: &Running,
    done: &Mutex<Vec<u32>>,
    name: u32,
) -> Result<u32, Cancelled> {
    let _running = running.enter();
    cx.sleep(ms(1))?;
    done.lock().unwrap().push(name);
    Ok(name)
}

// N17: Cx::{join, join3, join4, join5, join6, join7, join8, join_all}
#[test]
fn a_join_returns_all_values_or_was_cancelled() {
    type Join = fn(&mut Cx, &(dyn Fn(&mut Cx) -> Result<u32, Cancelled> + Sync)) -> Joined;
    type Joined = Result<usize, NurseryError<Cancelled>>;
    let joins: [Join; 8] = [
        |cx, f| cx.join(f, f).map(|_| 2),
        |cx, f| cx.join3(f, f, f).map(|_| 3),
        |cx, f| cx.join4(f, f, f, f).map(|_| 4),
        |cx, f| cx.join5(f, f, f, f, f).map(|_| 5),
        |cx, f| cx.join6(f, f, f, f, f, f).map(|_| 6),
        |cx, f| cx.join7(f, f, f, f, f, f, f).map(|_| 7),
        |cx, f| cx.join8(f, f, f, f, f, f, f, f).map(|_| 8),
        |cx, f| cx.join_all([f, f, f]).map(|values| values.len()),
    ];
    for join in joins {
        at_every_point(4, |cx, trial| {
            let (running, done) = (Running::default(), Mutex::new(Vec::new()));
            let outcome = trial.run(cx, |cx| join(cx, &|cx| step(cx, &running, &done, 1)));
            assert_eq!(running.now(), 0, "an arm has survived");
            let done = done.into_inner().unwrap().len();
            match was_cancelled(trial, &outcome) {
                true => assert!(done < running.ever()),
                false => assert_eq!(outcome.unwrap(), done),
            }
        });
    }
}

// N17: Cx::{race, race_all, first_ok, hedge}
#[test]
fn a_contest_has_a_winner_or_was_cancelled() {
    type Contest = fn(&mut Cx, &Running, &Mutex<Vec<u32>>) -> Result<u32, NurseryError<Cancelled>>;
    let contests: [Contest; 4] = [
        |cx, running, done| {
            cx.race(|cx| step(cx, running, done, 0), |cx| step(cx, running, done, 1))
        },
        |cx, running, done| {
            cx.race_all((0..3).map(|i| move |cx: &mut Cx| step(cx, running, done, i)))
        },
        |cx, running, done| {
            cx.first_ok((0..3).map(|i| move |cx: &mut Cx| step(cx, running, done, i)))
        },
        |cx, running, done| {
            let arms = (0..3).map(|i| {
                move |cx: &mut Cx| {
                    if i == 0 {
                        return cx.sleep_forever().map(|()| i);
                    }
                    step(cx, running, done, i)
                }
            });
            cx.hedge(ms(1), arms)
        },
    ];
    for contest in contests {
        at_every_point(4, |cx, trial| {
            let (running, done) = (Running::default(), Mutex::new(Vec::new()));
            let outcome = trial.run(cx, |cx| contest(cx, &running, &done));
            assert_eq!(running.now(), 0, "an arm has survived");
            let done = done.into_inner().unwrap();
            match was_cancelled(trial, &outcome) {
                true => assert_eq!(done, [0_u32; 0], "a winner was lost"),
                false => assert_eq!(outcome.unwrap(), done[0]),
            }
        });
    }
}

// N17: Cx::quorum
#[test]
fn a_quorum_is_reached_or_was_cancelled() {
    at_every_point(6, |cx, trial| {
        let (running, done) = (Running::default(), Mutex::new(Vec::new()));
        let outcome = trial.run(cx, |cx| {
            cx.quorum(
                2,
                (0..3).map(|i| {
                    let (running, done) = (&running, &done);
                    move |cx: &mut Cx| step(cx, running, done, i)
                }),
            )
        });
        assert_eq!(running.now(), 0, "an arm has survived");
        let done = done.into_inner().unwrap();
        match was_cancelled(trial, &outcome) {
            true => assert!(done.len() < 2, "a quorum was lost"),
            false => assert_eq!(outcome.unwrap(), done),
        }
    });
}

// N17: Cx::{map_concurrent, map_concurrent_unordered, for_each_concurrent, map_concurrent_to}
#[test]
fn a_map_is_complete_or_was_cancelled() {
    type Map = fn(&mut Cx, &Running, &Mutex<Vec<u32>>) -> Result<usize, NurseryError<Cancelled>>;
    let maps: [Map; 4] = [
        |cx, running, done| {
            cx.map_concurrent(2, 0..5, |cx, i| step(cx, running, done, i)).map(|all| all.len())
        },
        |cx, running, done| {
            let all = cx.map_concurrent_unordered(2, 0..5, |cx, i| step(cx, running, done, i))?;
            assert_eq!(all, *done.lock().unwrap());
            Ok(all.len())
        },
        |cx, running, done| {
            cx.for_each_concurrent(2, 0..5, |cx, i| step(cx, running, done, i).map(drop))?;
            Ok(5)
        },
        |cx, running, done| {
            let mut taken = Vec::new();
            cx.map_concurrent_to(
                2,
                0..5,
                |cx, i| step(cx, running, done, i),
                |cx, i| {
                    taken.push(i);
                    cx.yield_now()
                },
            )?;
            assert_eq!(taken, [0, 1, 2, 3, 4]);
            Ok(5)
        },
    ];
    for map in maps {
        at_every_point(10, |cx, trial| {
            let (running, done) = (Running::default(), Mutex::new(Vec::new()));
            let outcome = trial.run(cx, |cx| map(cx, &running, &done));
            assert_eq!(running.now(), 0, "a task has survived");
            if !was_cancelled(trial, &outcome) {
                assert_eq!((outcome.unwrap(), done.into_inner().unwrap().len()), (5, 5));
            }
        });
    }
}

// N17: concurrent::Limited::{spawn, place}
#[test]
fn no_place_is_lost() {
    for spawns in [false, true] {
        at_every_point(2, |cx, trial| {
            let ran = Running::default();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let limited = n.limit(1);
                limited.spawn(cx, |cx| cx.sleep(ms(1)))?;
                let child = |cx: &mut Cx| {
                    let _ran = ran.enter();
                    cx.yield_now()
                };
                let outcome = trial.run(cx, |cx| match spawns {
                    true => limited.spawn(cx, child).map(drop),
                    false => limited.place(cx).map(|place| drop(place.spawn(child))),
                });
                let spawned = !was_cancelled(trial, &outcome);
                // Whoever comes next gets the place.
                limited.spawn(cx, |_| Ok(()))?;
                assert_eq!(ran.ever(), usize::from(spawned));
                cx.sleep(ms(5))?;
                assert_eq!(limited.free(), 1);
                Ok(())
            })
            .unwrap();
        });
    }
}

// N17: Cx::{retry, retry_if}
#[test]
fn nothing_is_tried_again_after_a_cancellation() {
    for with_predicate in [false, true] {
        at_every_point(6, |cx, trial| {
            let (schedule, mut attempts) = (Schedule::fixed(ms(1)), 0);
            let outcome = trial.run(cx, |cx| {
                let attempt = |_: &mut Cx| -> Result<u32, Fault> {
                    assert!(!trial.is_cancelled(), "it was tried in spite of a cancellation");
                    attempts += 1;
                    if attempts < 4 { Err(Fault::Named("again")) } else { Ok(attempts) }
                };
                match with_predicate {
                    true => cx.retry_if(&schedule, attempt, |fault| fault.cancelled().is_none()),
                    false => cx.retry(&schedule, attempt),
                }
            });
            if !was_cancelled(trial, &outcome) {
                assert_eq!(outcome.unwrap(), 4);
            }
        });
    }
}

// N17: Cx::generate, concurrent::Items::next, concurrent::Output::send
#[test]
fn no_item_of_a_generator_is_lost() {
    at_every_point(12, |cx, trial| {
        let (mut sent, mut got) = (0, Vec::new());
        let mut ended = false;
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                for i in 0..4 {
                    cx.sleep(ms(1))?;
                    out.send(cx, i)?;
                    sent += 1;
                }
                ended = true;
                Ok(())
            },
            |cx, items| {
                let outcome = trial.run(cx, |cx| -> Result<(), Cancelled> {
                    while let Some(item) = items.next(cx)? {
                        got.push(item);
                    }
                    Ok(())
                });
                was_cancelled(trial, &outcome);
                // Who goes on gets the rest.
                while let Some(item) = items.next(cx)? {
                    got.push(item);
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!((sent, got, ended), (4, vec![0, 1, 2, 3], true));
    });
    // All of it, from outside: what was sent was taken, and the producer has ended.
    at_every_point(12, |cx, trial| {
        let (running, done) = (Running::default(), Mutex::new(Vec::new()));
        let mut got = Vec::new();
        let outcome = trial.run(cx, |cx| {
            cx.generate(
                |cx, out| -> Result<(), Fault> {
                    for i in 0..3 {
                        step(cx, &running, &done, i)?;
                        out.send(cx, i)?;
                    }
                    Ok(())
                },
                |cx, items| {
                    while let Some(item) = items.next(cx)? {
                        got.push(item);
                    }
                    Ok(())
                },
            )
        });
        assert_eq!(running.now(), 0, "the producer has survived");
        if !was_cancelled(trial, &outcome) {
            assert_eq!(got, [0, 1, 2]);
        }
    });
    // In a scope of the producer: an item is either sent or not, and the next one follows.
    at_every_point(4, |cx, trial| {
        let mut got = Vec::new();
        let mut was_sent = false;
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                let outcome = trial.run(cx, |cx| out.send(cx, 1));
                was_sent = !was_cancelled(trial, &outcome);
                Ok(out.send(cx, 2)?)
            },
            |cx, items| {
                while let Some(item) = items.next(cx)? {
                    got.push(item);
                    cx.sleep(ms(1))?;
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(got, if was_sent { vec![1, 2] } else { vec![2] });
    });
}

// N17: concurrent::RateLimiter::{acquire, acquire_many}
#[test]
fn no_token_is_lost() {
    for count in [1_u32, 2] {
        at_every_point(3, |cx, trial| {
            let limiter = cx.rate_limiter(1, ms(10), 2);
            assert!(limiter.try_acquire_many(2));
            let began = cx.now();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                // Somebody has the turn.
                n.spawn(|cx| limiter.acquire(cx));
                cx.sleep(ms(1))?;
                let outcome = trial.run(cx, |cx| match count {
                    1 => limiter.acquire(cx),
                    _ => limiter.acquire_many(cx, 2),
                });
                let taken = if was_cancelled(trial, &outcome) { 1 } else { 1 + count };
                limiter.acquire(cx)?;
                assert_eq!(cx.now() - began, 10 * ms(u64::from(taken) + 1));
                assert_eq!(limiter.available(), 0);
                Ok(())
            })
            .unwrap();
        });
    }
}

// N17: concurrent::Pool::{get, with}
#[test]
fn no_object_of_a_pool_is_lost() {
    for with in [false, true] {
        at_every_point(5, |cx, trial| {
            let made = Mutex::new(0);
            let pool = Pool::new(2, |cx: &mut Cx| -> Result<u32, Cancelled> {
                cx.sleep(ms(1))?;
                *made.lock().unwrap() += 1;
                Ok(7)
            });
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    let _object = pool.get(cx)?;
                    cx.sleep(ms(5))
                });
                cx.yield_now()?;
                let outcome = trial.run(cx, |cx| {
                    // The first is made, the second is waited for.
                    let first = pool.get(cx)?;
                    let outcome = match with {
                        true => pool.with(cx, |cx, object| cx.sleep(ms(1)).map(|()| *object)),
                        false => pool.get(cx).map(|object| *object),
                    };
                    drop(first);
                    outcome
                });
                if !was_cancelled(trial, &outcome) {
                    assert_eq!(outcome?, 7);
                }
                Ok(())
            })
            .unwrap();
            let statistics = pool.statistics();
            assert_eq!((statistics.in_use, statistics.tasks_waiting), (0, 0));
            // Both places are there.
            let both = (pool.get(cx).unwrap(), pool.get(cx).unwrap());
            assert_eq!(pool.statistics().in_use, 2);
            drop(both);
        });
    }
}

// N17: concurrent::Supervisor::run
#[test]
fn a_supervisor_ends_with_its_tasks() {
    at_every_point(10, |cx, trial| {
        let (running, tries) = (Running::default(), Mutex::new(0));
        let outcome = trial.run(cx, |cx| {
            Supervisor::one_for_all()
                .delays(Schedule::fixed(ms(1)))
                .task("flaky", Restart::OnFailure, |cx| {
                    let _running = running.enter();
                    cx.sleep(ms(1))?;
                    let mut tries = tries.lock().unwrap();
                    *tries += 1;
                    if *tries < 3 { Err(Fault::Named("again")) } else { Ok(()) }
                })
                .task("other", Restart::OnFailure, |cx| {
                    let _running = running.enter();
                    Ok(cx.sleep(ms(2))?)
                })
                .run(cx)
        });
        assert_eq!(running.now(), 0, "a task has survived");
        match outcome {
            Ok(()) => assert_eq!(*tries.lock().unwrap(), 3),
            Err(SupervisorError::Cancelled(_)) => assert!(trial.is_cancelled()),
            // It has failed while the supervisor was being cancelled: that is not lost.
            Err(SupervisorError::Failed(errors)) => {
                assert!(trial.is_cancelled());
                assert!(matches!(errors.into_single(), Ok(Fault::Named("again"))));
            }
            Err(other) => panic!("{other:?}"),
        }
    });
}

// N17: Cx::nursery_with_services, concurrent::Services::start
#[test]
fn services_end_with_their_nursery() {
    at_every_point(8, |cx, trial| {
        let (services_run, users) = (Running::default(), Running::default());
        let outcome = trial.run(cx, |cx| {
            cx.nursery_with_services(|cx, n, services| -> Result<u32, Cancelled> {
                let started = services.start(cx, |cx, started| {
                    let _service = services_run.enter();
                    cx.sleep(ms(1))?;
                    started.ready(7);
                    cx.sleep_forever()
                });
                let value = match started {
                    Ok(value) => value,
                    Err(conbrio::StartError::Cancelled(cancelled)) => return Err(cancelled),
                    Err(other) => panic!("{other}"),
                };
                n.spawn(|cx| {
                    let _user = users.enter();
                    cx.sleep(ms(2))?;
                    assert_eq!(services_run.now(), 1);
                    Ok(())
                });
                Ok(value)
            })
        });
        assert_eq!((services_run.now(), users.now()), (0, 0));
        if !was_cancelled(trial, &outcome) {
            assert_eq!((outcome.unwrap(), users.ever()), (7, 1));
        }
    });
}
