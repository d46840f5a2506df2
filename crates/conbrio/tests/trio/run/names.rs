//! The names of tasks.

use conbrio::prelude::*;

use crate::support::{Fault, on_all_workers, on_one_worker};

fn named_function(cx: &mut Cx) -> Result<String, Cancelled> {
    Ok(cx.task_name().to_owned())
}

// spec: test_run.spawn_name
#[test]
fn a_child_is_named_after_its_function() {
    on_all_workers(|cx| {
        assert_eq!(cx.task_name(), "main");
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut function = n.spawn(named_function);
            assert!(function.name().ends_with("names::named_function"), "{}", function.name());
            let name = function.name().to_owned();
            assert_eq!(function.join(cx)?, name);
            // A closure is named after the function that it stands in.
            let mut closure = n.spawn(|cx| -> Result<String, Cancelled> { named_function(cx) });
            let expected = "a_child_is_named_after_its_function";
            assert!(closure.name().contains(expected), "{}", closure.name());
            assert!(closure.join(cx)?.contains(expected));
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.spawn_name
#[test]
fn a_child_can_be_given_a_name() {
    on_one_worker(|cx| {
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut spawned = n.task("spawned").spawn(|cx| Ok(named_function(cx)?));
            assert_eq!(spawned.name(), "spawned");
            assert_eq!(spawned.join(cx)?, "spawned");
            let number = 3;
            let mut owned = n.task(format!("owned {number}")).spawn(|cx| Ok(named_function(cx)?));
            assert_eq!(owned.join(cx)?, "owned 3");
            let mut local = n.task("local").spawn_local(cx, |cx| Ok(named_function(cx)?));
            assert_eq!(local.join(cx)?, "local");
            let started = n.task("started").start(cx, |cx, started| {
                started.ready(named_function(cx)?);
                Ok(())
            })?;
            assert_eq!(started, "started");
            Ok(())
        })
        .unwrap();
    });
}
