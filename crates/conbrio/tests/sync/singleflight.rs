//! Equal requests at one time, answered once.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use conbrio::sync::Singleflight;

use crate::support::{Fault, message_of, on_all_workers, settled};

#[test]
fn those_who_come_meanwhile_share_the_value() {
    on_all_workers(|cx| {
        let (table, works) = (Singleflight::new(), AtomicUsize::new(0));
        for round in 1..3 {
            cx.nursery(|cx, n| -> Result<(), Fault> {
                for number in 0..6 {
                    let (table, works) = (&table, &works);
                    n.spawn(move |cx| {
                        let key = format!("key {}", number % 2);
                        let value = table.run(cx, key.clone(), |cx| -> Result<_, Fault> {
                            works.fetch_add(1, SeqCst);
                            cx.sleep(Duration::from_secs(1))?;
                            Ok(key.clone())
                        })?;
                        assert_eq!(value, key);
                        Ok(())
                    });
                }
                settled(cx)?;
                let statistics = table.statistics();
                assert_eq!((statistics.flights, statistics.calls), (2, 6));
                Ok(())
            })
            .unwrap();
            // It is no cache.
            assert_eq!(works.load(SeqCst), 2 * round);
            assert_eq!(table.statistics().flights, 0);
        }
        assert_eq!(format!("{table:?}"), "Singleflight { flights: 0, calls: 0, .. }");
    });
}

#[test]
fn who_fails_or_is_cancelled_fails_alone() {
    on_all_workers(|cx| {
        let table: Singleflight<u32, &str> = Singleflight::default();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(|cx| {
                let outcome = table.run(cx, 1, |cx| -> Result<_, Fault> {
                    cx.sleep(Duration::from_secs(1))?;
                    Err("no".into())
                });
                assert_eq!(outcome.unwrap_err().to_string(), "no");
                Ok(())
            });
            settled(cx)?;
            let works = n.spawn(|cx| {
                table.run(cx, 1, |cx| -> Result<_, Fault> {
                    cx.sleep_forever()?;
                    Ok("never")
                })?;
                Ok(())
            });
            settled(cx)?;
            let waits = n.spawn(|cx| table.run(cx, 1, |_| Ok::<_, Fault>("unused")));
            settled(cx)?;
            let mut last = n.spawn(|cx| table.run(cx, 1, |_| Ok::<_, Fault>("last")));
            cx.sleep(Duration::from_secs(2))?;
            assert_eq!(table.statistics().calls, 3);
            waits.cancel();
            settled(cx)?;
            assert_eq!(table.statistics().calls, 2);
            works.cancel();
            assert_eq!(last.join(cx)?, "last");
            Ok(())
        })
        .unwrap();
        assert_eq!(table.statistics().flights, 0);
        let message = message_of(|| {
            table.run(cx, 1, |cx| table.run(cx, 1, |_| Ok::<_, Fault>("inside"))).map(drop)
        });
        assert!(message.contains("would wait for itself"), "{message}");
        assert_eq!(table.statistics().flights, 0);
    });
}
