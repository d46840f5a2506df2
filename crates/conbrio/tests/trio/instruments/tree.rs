//! The tree of tasks that an instrument keeps.

use std::sync::Arc;
use std::time::Duration;

use conbrio::instrument::{TaskId, TaskRecord, TaskState, TaskTree};
use conbrio::prelude::*;
use conbrio::{Builder, testing};

use crate::support::seconds;

/// The names of the tasks, each with that of its parent.
fn parents(tasks: &[TaskRecord]) -> Vec<(&str, Option<&str>)> {
    let name = |id: TaskId| tasks.iter().find(|task| task.id == id).map(|task| &*task.name);
    tasks.iter().map(|task| (&*task.name, task.parent.and_then(name))).collect()
}

// spec: test_run.task_tree_introspection, test_run.current_task, test_run.root_task
#[test]
fn a_tree_of_tasks_shows_whose_children_they_are_and_what_they_do() {
    for workers in [1, 2, 4] {
        let tree = Arc::new(TaskTree::new());
        let builder = Builder::new().workers(workers).instrument(tree.clone());
        let run = builder.run(|cx| {
            let main = cx.task_id();
            let root = tree.task(main).unwrap();
            assert_eq!((root.parent, root.depth, &*root.name), (None, 0, "main"));
            assert_eq!((root.worker, root.state), (Some(0), TaskState::Running));
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let tree = &*tree;
                assert_eq!(parents(&tree.snapshot()), [("main", None)]);
                let child = n.task("child").spawn(move |cx| {
                    let me = tree.task(cx.task_id()).unwrap();
                    assert_eq!((me.parent, me.state), (Some(main), TaskState::Running));
                    cx.nursery(|cx, inner| -> Result<(), Cancelled> {
                        inner.task("grandchild").spawn(|cx| cx.sleep_forever());
                        cx.sleep_forever()
                    })
                    .map_err(|_| cx.checkpoint().unwrap_err())
                });
                testing::settle(cx, Duration::ZERO)?;
                let expected =
                    [("main", None), ("child", Some("main")), ("grandchild", Some("child"))];
                let tasks = tree.snapshot();
                assert_eq!(parents(&tasks), expected);
                assert_eq!(tasks.iter().map(|task| task.depth).collect::<Vec<_>>(), [0, 1, 2]);
                assert_eq!(tasks[2].state, TaskState::Waiting("ever (sleep_forever)"));
                assert!(tasks.iter().all(|task| task.worker.is_some() && !task.is_cancelled));

                // While it is being started, a child belongs to whoever starts it.
                let starter = n.task("starter").spawn(move |cx| {
                    let me = cx.task_id();
                    n.task("started")
                        .start(cx, move |cx, started| {
                            let id = cx.task_id();
                            assert_eq!(tree.task(id).unwrap().parent, Some(me));
                            started.ready(());
                            cx.yield_now()?;
                            assert_eq!(tree.task(id).unwrap().parent, Some(main));
                            cx.sleep_forever()
                        })
                        .unwrap();
                    Ok(())
                });
                testing::settle(cx, Duration::ZERO)?;
                assert!(starter.is_finished());
                let tasks = tree.snapshot();
                assert!(parents(&tasks).contains(&("started", Some("main"))), "{tree}");
                assert!(!parents(&tasks).contains(&("starter", Some("main"))), "{tree}");

                child.cancel();
                testing::settle(cx, Duration::ZERO)?;
                let expected = [("main", None), ("started", Some("main"))];
                assert_eq!(parents(&tree.snapshot()), expected);
                n.cancel();
                Ok(())
            })
            .unwrap();
            assert_eq!(parents(&tree.snapshot()), [("main", None)]);
        });
        run.unwrap();
        assert!(tree.snapshot().is_empty());
    }
}

// spec: test_run.task_nursery_stack
#[test]
fn nurseries_of_a_task_nest_and_are_left_also_by_an_error() {
    for workers in [1, 2] {
        let tree = Arc::new(TaskTree::new());
        let builder = Builder::new().workers(workers).instrument(tree.clone());
        let run = builder.run(|cx| {
            let children = || {
                let tasks = tree.snapshot();
                let mut names: Vec<_> = tasks.into_iter().skip(1).map(|task| task.name).collect();
                names.sort();
                names
            };
            cx.nursery(|cx, outer| -> Result<(), Cancelled> {
                outer.task("outer").spawn(|cx| cx.sleep_forever());
                testing::settle(cx, Duration::ZERO)?;
                assert_eq!(children(), ["outer"]);
                let failed = cx.nursery(|cx, inner| -> std::io::Result<()> {
                    inner.task("inner").spawn(|cx| Ok(cx.sleep_forever()?));
                    testing::settle(cx, Duration::ZERO)?;
                    // Both are open, and a child belongs to the nursery that it was spawned in.
                    assert_eq!(children(), ["inner", "outer"]);
                    Err(std::io::ErrorKind::Other.into())
                });
                assert!(failed.is_err());
                assert_eq!(children(), ["outer"]);
                outer.cancel();
                Ok(())
            })
            .unwrap();
            assert!(children().is_empty());
        });
        run.unwrap();
    }
}

#[test]
fn a_tree_that_comes_later_learns_of_tasks_when_they_run() {
    testing::run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.task("early").spawn(|cx| {
                cx.sleep(seconds(1))?;
                cx.sleep(seconds(2))
            });
            testing::settle(cx, Duration::ZERO)?;
            let tree = Arc::new(TaskTree::new());
            cx.instruments().add(tree.clone());
            n.task("late").spawn(|cx| cx.sleep(seconds(9)));
            testing::settle(cx, Duration::ZERO)?;
            let names = || tree.snapshot().into_iter().map(|task| task.name).collect::<Vec<_>>();
            assert_eq!(names(), ["main", "late"]);
            cx.sleep(seconds(2))?;
            assert_eq!(names(), ["main", "late", "early"]);
            cx.sleep(seconds(2))?;
            assert_eq!(names(), ["main", "late"]);
            cx.instruments().remove(&tree);
            Ok(())
        })
        .unwrap();
    });
}
