//! Something that happens once.

use conbrio::prelude::*;
use conbrio::sync::Event;
use conbrio::testing::assert_checkpoints;

use crate::support::{Fault, Trace, assert_cancelled, on_all_workers, settled};

// spec: test_sync.Event, S4
#[test]
fn all_who_wait_go_on_when_it_is_set() {
    on_all_workers(|cx| {
        let (event, trace) = (Event::new(), Trace::new());
        assert!(!event.is_set());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            for number in 0..3 {
                let (event, trace) = (&event, &trace);
                n.spawn(move |cx| {
                    event.wait(cx)?;
                    trace.push(number);
                    Ok(())
                });
            }
            settled(cx)?;
            assert_eq!(event.statistics().tasks_waiting, 3);
            assert!(trace.take().is_empty());
            assert!(event.set(), "it is set now");
            assert_eq!(event.statistics().tasks_waiting, 0);
            settled(cx)?;
            assert_eq!(trace.take().len(), 3);
            assert!(!event.set(), "it was set before");
            assert!(event.is_set());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.Event
#[test]
fn waiting_for_what_has_happened_is_a_checkpoint() {
    on_all_workers(|cx| {
        let event = Event::default();
        event.set();
        assert_checkpoints(cx, |cx| event.wait(cx)).unwrap();
        assert_cancelled(cx, |cx| event.wait(cx));
    });
}

#[test]
fn a_cancelled_wait_leaves_nothing_behind() {
    on_all_workers(|cx| {
        let event = Event::new();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let child = n.spawn(|cx| event.wait(cx));
            settled(cx)?;
            assert_eq!(event.statistics().tasks_waiting, 1);
            child.cancel();
            settled(cx)?;
            assert_eq!(event.statistics().tasks_waiting, 0);
            Ok(())
        })
        .unwrap();
        assert_eq!(format!("{event:?}"), "Event { is_set: false, .. }");
    });
}
