//! Values of a whole run: `RunLocalKey` in the place of `RunVar`.

use conbrio::RunLocalKey;
use conbrio::prelude::*;

use crate::support::on_all_workers;

// spec: test_local.runvar_smoketest
#[test]
fn each_run_has_a_value_of_its_own() {
    static FIRST: RunLocalKey<u32> = RunLocalKey::new();
    static SECOND: RunLocalKey<&'static str> = RunLocalKey::new();
    on_all_workers(|cx| {
        // Nothing is left of earlier runs.
        assert_eq!(FIRST.get(cx), None);
        assert_eq!(SECOND.get(cx).as_deref().copied().unwrap_or("of the call"), "of the call");
        let _ = FIRST.set(cx, 7);
        assert_eq!(FIRST.get(cx).as_deref(), Some(&7));
        // A run beside this one has its own.
        let beside = cx.blocking(|| conbrio::run(|cx| FIRST.get(cx).as_deref().copied()));
        assert_eq!(beside.unwrap(), None);
        assert_eq!(*SECOND.get_or_init(cx, || "made"), "made");
        assert_eq!(*SECOND.get_or_init(cx, || "not made"), "made");
    });
}

// spec: test_local.runvar_resetting
#[test]
fn what_set_returns_restores_the_former_value() {
    static KEY: RunLocalKey<u32> = RunLocalKey::new();
    static OTHER: RunLocalKey<u32> = RunLocalKey::new();
    on_all_workers(|cx| {
        let unset = KEY.set(cx, 1);
        let one = KEY.set(cx, 2);
        // It is used up by this: there is no second time.
        assert_eq!(KEY.reset(cx, one).as_deref(), Some(&2));
        assert_eq!(KEY.get(cx).as_deref(), Some(&1));
        KEY.reset(cx, unset);
        assert_eq!(KEY.get(cx), None);
        let of_other = OTHER.set(cx, 3);
        let message = crate::support::panic_text(|| KEY.reset(cx, of_other));
        assert!(message.contains("another key"), "{message}");
        assert_eq!(OTHER.get(cx).as_deref(), Some(&3));
    });
}

// spec: test_local.runvar_sync
#[test]
fn all_tasks_see_one_value_and_any_may_reset_it() {
    static KEY: RunLocalKey<u32> = RunLocalKey::new();
    on_all_workers(|cx| {
        let before = KEY.set(cx, 1);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let of_child = n.spawn(|cx| Ok(KEY.set(cx, 2))).join(cx)?;
            assert_eq!(KEY.get(cx).as_deref(), Some(&2));
            n.spawn(move |cx| {
                KEY.reset(cx, of_child);
                Ok(())
            })
            .join(cx)?;
            assert_eq!(KEY.get(cx).as_deref(), Some(&1));
            Ok(())
        })
        .unwrap();
        KEY.reset(cx, before);
        assert_eq!(KEY.get(cx), None);
    });
}
