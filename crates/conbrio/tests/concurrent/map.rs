//! Mapping with a limit: order, back-pressure, failures.

use std::cell::Cell;

use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Fault, Running, ms, names, on_workers, panic_text};

#[test]
fn the_limit_is_kept_and_used() {
    explore(0..60, |cx| {
        for limit in [1, 3, 7, 100] {
            let running = Running::default();
            let values = cx.map_concurrent(limit, 0..7_usize, |cx, i| -> Result<_, Cancelled> {
                let _running = running.enter();
                cx.sleep(ms(10))?;
                Ok(i * i)
            });
            assert_eq!(values.unwrap(), [0, 1, 4, 9, 16, 25, 36]);
            assert_eq!(running.most(), limit.min(7));
        }
    });
}

#[test]
fn unordered_values_come_as_they_are_done() {
    explore(0..60, |cx| {
        let values =
            cx.map_concurrent_unordered(2, [5, 1, 1, 1], |cx, n| -> Result<_, Cancelled> {
                cx.sleep(ms(n))?;
                Ok(n)
            });
        assert_eq!(values.unwrap(), [1, 1, 1, 5]);
    });
}

#[test]
fn items_are_pulled_when_there_is_a_place_for_them() {
    run(|cx| {
        let (pulled, running) = (Cell::new(0), Running::default());
        // The iterator is neither `Send` nor finite.
        let items = std::iter::repeat_with(|| {
            pulled.set(pulled.get() + 1);
            assert!(running.now() < 3, "it is pulled only when a place is free");
            pulled.get()
        });
        let outcome = cx.move_on_after(ms(95), |cx| {
            cx.for_each_concurrent(3, items, |cx, _| -> Result<(), Cancelled> {
                let _running = running.enter();
                cx.sleep(ms(10))
            })
        });
        assert!(matches!(outcome, Ok(None)));
        assert_eq!((pulled.get(), running.ever(), running.now()), (30, 30, 0));
    });
}

#[test]
fn an_error_ends_it_and_no_more_is_pulled() {
    explore(0..100, |cx| {
        let pulled = Cell::new(0);
        let items = (0..1000).inspect(|_| pulled.set(pulled.get() + 1));
        let result = cx.map_concurrent(4, items, |cx, i| {
            if i == 2 {
                return Err(Fault::Named("two"));
            }
            cx.sleep_forever().map_err(|_| Fault::Named("farewell"))
        });
        let names = names(result);
        assert_eq!(names[0], "two");
        assert!(names[1..].iter().all(|name| *name == "farewell") && names.len() <= 4, "{names:?}");
        assert!(pulled.get() <= 4, "{}", pulled.get());
    });
}

#[test]
fn panics_of_the_function_and_of_the_iterator_come_out() {
    let text = panic_text(|| {
        run(|cx| {
            cx.map_concurrent(2, 0..5, |cx, i| -> Result<(), Cancelled> {
                assert!(i != 3, "item {i}");
                cx.checkpoint()
            })
        })
    });
    assert_eq!(text, "item 3");
    let running = Running::default();
    let text = panic_text(|| {
        run(|cx| {
            let items = (0..5).inspect(|i| assert!(*i != 2, "the iterator"));
            cx.map_concurrent(4, items, |cx, _| -> Result<(), Cancelled> {
                let _running = running.enter();
                cx.sleep_forever()
            })
        })
    });
    assert_eq!(text, "the iterator");
    assert_eq!((running.now(), running.ever()), (0, 2));
    let text = panic_text(|| run(|cx| cx.map_concurrent(0, 0..3, |_, i| Ok::<_, Cancelled>(i))));
    assert!(text.contains("at least one"), "{text}");
}

#[test]
fn it_borrows_and_runs_everywhere() {
    let words: Vec<String> = (0..1000).map(|i| format!("word {i}")).collect();
    on_workers(|cx| {
        let lengths = cx
            .map_concurrent(16, &words, |cx, word| -> Result<usize, Cancelled> {
                cx.yield_now()?;
                Ok(word.len())
            })
            .unwrap();
        assert!(lengths.iter().zip(&words).all(|(length, word)| *length == word.len()));
        assert_eq!(lengths.len(), 1000);
    });
}

// "Barbara battles buffered streams": a slow consumer does not stall what has begun. Here each connection
// must be used within ten milliseconds, and the consumer takes a hundred for each value.
#[test]
fn a_slow_consumer_holds_up_the_iterator_but_nothing_that_has_begun() {
    explore(0..50, |cx| {
        let (pulled, mut taken) = (Cell::new(0), Vec::new());
        let began = cx.now();
        cx.map_concurrent_to(
            3,
            (0..6).inspect(|_| pulled.set(pulled.get() + 1)),
            |cx, i| -> Result<_, Fault> {
                let timely = cx.move_on_after(ms(10), |cx| cx.sleep(ms(5)))?;
                assert_eq!(timely, Some(()), "the connection was closed");
                Ok((i, (cx.now() - began).as_millis()))
            },
            |cx, (i, done_at)| {
                taken.push((i, done_at));
                assert!(pulled.get() <= taken.len() + 2, "it is held up");
                Ok(cx.sleep(ms(100))?)
            },
        )
        .unwrap();
        // Three begin at once, and one more whenever a value was taken and consumed.
        assert_eq!(taken, [(0, 5), (1, 5), (2, 5), (3, 110), (4, 210), (5, 310)]);
    });
}

#[test]
fn values_are_handed_over_in_order() {
    explore(0..60, |cx| {
        for limit in [1, 2, 10] {
            let (mut taken, running) = (Vec::new(), Running::default());
            cx.map_concurrent_to(
                limit,
                0..7_u64,
                |cx, i| -> Result<_, Cancelled> {
                    let _running = running.enter();
                    cx.sleep(ms(i * 5 % 7))?;
                    Ok(i)
                },
                |_, i| {
                    taken.push(i);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6]);
            assert!(running.most() <= limit);
        }
        let result = cx.map_concurrent_to(
            2,
            0..7,
            |cx, i| {
                cx.sleep(ms(1))?;
                if i == 3 { Err(Fault::Named("item")) } else { Ok(i) }
            },
            |_, _| Ok(()),
        );
        assert_eq!(names(result), ["item"]);
        let result = cx.map_concurrent_to(
            2,
            0..7,
            |cx, i| {
                cx.sleep(ms(i)).map_err(|_| Fault::Named("farewell"))?;
                Ok(i)
            },
            |_, _| Err(Fault::Named("consumer")),
        );
        assert_eq!(names(result), ["consumer", "farewell"]);
    });
}
