//! Values that belong to a part of the program: `LocalKey` in the place of context variables.

use conbrio::LocalKey;
use conbrio::prelude::*;

use crate::support::on_all_workers;

static VARIABLE: LocalKey<&'static str> = LocalKey::new();

fn seen(cx: &Cx) -> Option<&'static str> {
    cx.local(&VARIABLE).copied()
}

// spec: test_contextvars.contextvars_default
#[test]
fn a_child_sees_what_was_bound_around_its_nursery() {
    on_all_workers(|cx| {
        cx.with_local(&VARIABLE, &"main", |cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                assert_eq!(n.spawn(|cx| Ok(seen(cx))).join(cx)?, Some("main"));
                assert_eq!(n.spawn_local(cx, |cx| Ok(seen(cx))).join(cx)?, Some("main"));
                Ok(())
            })
            .unwrap();
        });
    });
}

// spec: test_contextvars.contextvars_set
#[test]
fn what_a_child_binds_is_seen_by_nobody_else() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for name in ["first", "second"] {
                n.spawn(move |cx| {
                    cx.with_local(&VARIABLE, &name, |cx| {
                        cx.yield_now()?;
                        assert_eq!(seen(cx), Some(name));
                        Ok(())
                    })
                });
            }
            cx.yield_now()?;
            assert_eq!(seen(cx), None);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen(cx), None);
    });
}

// spec: test_contextvars.contextvars_copy
#[test]
fn a_child_goes_on_seeing_what_it_began_with() {
    on_all_workers(|cx| {
        cx.with_local(&VARIABLE, &"before", |cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut child = n.spawn(|cx| {
                    cx.yield_now()?;
                    Ok(seen(cx))
                });
                cx.with_local(&VARIABLE, &"after", |cx| {
                    // Bound inside the nursery: it lives no longer than this call, unlike the child.
                    let mut later = n.spawn(|cx| Ok(seen(cx)));
                    assert_eq!(later.join(cx)?, Some("before"));
                    assert_eq!(seen(cx), Some("after"));
                    Ok::<(), Cancelled>(())
                })?;
                assert_eq!(child.join(cx)?, Some("before"));
                Ok(())
            })
            .unwrap();
        });
    });
}

// spec: test_run.contextvar_support
#[test]
fn a_binding_does_not_leave_the_closure_it_is_for_nor_the_runtime() {
    for _ in 0..2 {
        on_all_workers(|cx| {
            assert_eq!(seen(cx), None);
            cx.with_local(&VARIABLE, &"bound", |cx| assert_eq!(seen(cx), Some("bound")));
            assert_eq!(seen(cx), None);
        });
    }
}

// spec: test_run.contextvar_multitask
#[test]
fn each_generation_has_its_own() {
    on_all_workers(|cx| {
        cx.with_local(&VARIABLE, &"parent", |cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut child = n.spawn(|cx| {
                    let before = seen(cx);
                    cx.with_local(&VARIABLE, &"child", |cx| {
                        cx.nursery(|cx, n| -> Result<_, Cancelled> {
                            Ok((before, n.spawn(|cx| Ok(seen(cx))).join(cx)?))
                        })
                    })
                    .map_err(|error| match error {
                        NurseryError::Cancelled(cancelled) => cancelled,
                        other => panic!("{other}"),
                    })
                });
                assert_eq!(child.join(cx)?, (Some("parent"), Some("child")));
                // What the child has bound is not seen here, nor by children that come later.
                assert_eq!(seen(cx), Some("parent"));
                assert_eq!(n.spawn(|cx| Ok(seen(cx))).join(cx)?, Some("parent"));
                Ok(())
            })
            .unwrap();
        });
    });
}
