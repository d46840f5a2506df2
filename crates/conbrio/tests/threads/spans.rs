//! Spans of `tracing` are current while their task runs, and only then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use conbrio::prelude::*;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber, info, info_span};

use crate::support::on_workers;

/// Notes who is entered, and complains if spans are not left in the order in which they were entered.
#[derive(Default)]
struct Collector {
    next: AtomicU64,
    entered: Mutex<Vec<u64>>,
    /// For each event, the spans that were entered.
    events: Mutex<Vec<Vec<u64>>>,
    steps: AtomicU64,
}

impl Subscriber for &'static Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.next.fetch_add(1, SeqCst) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        let entered = self.entered.lock().unwrap().clone();
        self.events.lock().unwrap().push(entered);
    }

    fn enter(&self, span: &Id) {
        self.steps.fetch_add(1, SeqCst);
        self.entered.lock().unwrap().push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.entered.lock().unwrap().pop(), Some(span.into_u64()));
    }
}

#[test]
fn spans_of_tasks_do_not_overlap() {
    let collector: &'static Collector = Box::leak(Box::default());
    let dispatch = Dispatch::new(collector);
    on_workers(1, |cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for task in 0..3_u64 {
                let dispatch = &dispatch;
                n.spawn(move |cx| {
                    cx.with_dispatch(dispatch, |cx| {
                        let span = info_span!("task");
                        cx.in_span(&span, |cx| {
                            cx.yield_now()?;
                            info!(task);
                            let part = info_span!("part");
                            cx.in_span(&part, |cx| {
                                cx.yield_now()?;
                                info!(task);
                                cx.yield_now()
                            })?;
                            cx.yield_now()
                        })
                    })
                });
            }
            Ok(())
        })
        .unwrap();
    });
    assert_eq!(*collector.entered.lock().unwrap(), []);
    let events = collector.events.lock().unwrap();
    let mut depths: Vec<usize> = events.iter().map(Vec::len).collect();
    depths.sort_unstable();
    assert_eq!(depths, [1, 1, 1, 2, 2, 2]);
    assert!(collector.steps.load(SeqCst) > 12, "they were left and entered again");
}

// N17: Cx::in_span, Cx::with_dispatch
#[test]
fn a_span_is_left_when_what_is_in_it_is_cancelled() {
    let points = conbrio::testing::cancel_at_every_checkpoint(|cx, trial| {
        let collector: &'static Collector = Box::leak(Box::default());
        let dispatch = Dispatch::new(collector);
        let outcome = trial.run(cx, |cx| {
            cx.with_dispatch(&dispatch, |cx| {
                cx.in_span(&info_span!("task"), |cx| {
                    assert_eq!(collector.entered.lock().unwrap().len(), 1);
                    cx.yield_now()?;
                    cx.sleep(std::time::Duration::from_millis(1))
                })
            })
        });
        assert!(outcome.is_ok() || trial.is_cancelled());
        assert_eq!(*collector.entered.lock().unwrap(), []);
    });
    assert!(points >= 2);
}
