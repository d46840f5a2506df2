//! All of a changing number are done.

use conbrio::sync::WaitGroup;
use conbrio::testing::assert_checkpoints;

use crate::support::{Fault, on_all_workers, settled};

#[test]
fn it_waits_until_there_are_no_members() {
    on_all_workers(|cx| {
        let group = WaitGroup::default();
        assert_checkpoints(cx, |cx| group.wait(cx)).unwrap();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let first = group.enter();
            let second = first.clone();
            assert_eq!(group.statistics().members, 2);
            for _ in 0..2 {
                n.spawn(|cx| Ok(group.wait(cx)?));
            }
            let cancelled = n.spawn(|cx| Ok(group.wait(cx)?));
            settled(cx)?;
            assert_eq!(group.statistics().tasks_waiting, 3);
            cancelled.cancel();
            drop(first);
            settled(cx)?;
            assert_eq!(group.statistics().tasks_waiting, 2);
            // On another thread.
            std::thread::scope(|s| drop(s.spawn(|| drop(second)).join()));
            // Also if somebody comes before they run.
            let _late = group.enter();
            settled(cx)?;
            assert_eq!(group.statistics().tasks_waiting, 0);
            Ok(())
        })
        .unwrap();
        assert_eq!(format!("{group:?}"), "WaitGroup { members: 0, .. }");
    });
}
