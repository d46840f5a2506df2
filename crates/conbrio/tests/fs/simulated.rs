//! Files in simulated runs: real ones, and the course of the run does not depend on them.

use std::sync::Mutex;
use std::time::Duration;

use conbrio::fs::{self, File, TempDir};
use conbrio::io::Write;
use conbrio::testing;

use crate::support::Folder;

/// The order in which three tasks get on with their files.
fn course(seed: u64) -> Vec<u32> {
    let folder = Folder::new();
    let order = Mutex::new(Vec::new());
    testing::Builder::new().seed(seed).run(|cx| {
        cx.nursery(|_, n| -> std::io::Result<()> {
            for task in 0..3 {
                let (order, folder) = (&order, &folder);
                n.spawn(move |cx| {
                    let path = folder.at(task.to_string());
                    let mut file = File::create(cx, &path)?;
                    for _ in 0..3 {
                        file.write_all(cx, b"abc")?;
                        order.lock().unwrap().push(task);
                        cx.sleep(Duration::from_secs(u64::from(task)))?;
                    }
                    assert_eq!(fs::read(cx, &path)?, b"abcabcabc");
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
    });
    order.into_inner().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let courses: Vec<_> = (0..20).map(course).collect();
    // Now everything is in the memory of the system that was not before.
    assert_eq!((0..20).map(course).collect::<Vec<_>>(), courses);
    assert!(courses.iter().any(|course| *course != courses[0]), "the seed decides");
}

#[test]
fn time_stands_still_for_files() {
    testing::run(|cx| {
        let before = cx.now();
        let folder = TempDir::new(cx).unwrap();
        let path = folder.path().join("file");
        fs::write_atomic(cx, &path, vec![7; 300_000]).unwrap();
        fs::copy(cx, &path, folder.path().join("copy")).unwrap();
        assert_eq!(fs::metadata(cx, folder.path().join("copy")).unwrap().len(), 300_000);
        fs::remove_dir_all(cx, folder.path()).unwrap();
        assert_eq!(cx.now(), before);
    });
}

#[test]
fn watching_waits_for_the_world_outside_and_is_refused() {
    testing::run(|cx| {
        let folder = Folder::new();
        let mut watch = fs::Watch::new().unwrap();
        watch.add(cx, folder.path()).unwrap();
        let error = std::io::Error::from(watch.next(cx).unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported, "{error}");
    });
}
