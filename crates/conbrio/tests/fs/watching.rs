//! Watching files.

use std::os::unix::fs::PermissionsExt;

use conbrio::fs::{Change, Watch, WatchEvent};
use conbrio::prelude::*;

use crate::support::{Folder, on_workers};

fn take(cx: &mut Cx, watch: &mut Watch, count: usize) -> Vec<WatchEvent> {
    (0..count).map(|_| watch.next(cx).unwrap()).collect()
}

fn changes(events: &[WatchEvent]) -> Vec<(Change, String)> {
    let name = |event: &WatchEvent| event.path().file_name().unwrap().to_str().unwrap().to_owned();
    events.iter().map(|event| (event.change(), name(event))).collect()
}

#[test]
fn what_happens_in_a_directory_is_told_in_order() {
    on_workers(|cx| {
        let (folder, other) = (Folder::new(), Folder::new());
        let mut watch = Watch::new().unwrap();
        watch.add(cx, folder.path()).unwrap();
        std::fs::write(folder.at("a"), "x").unwrap();
        let events = take(cx, &mut watch, 3);
        let name = || "a".to_owned();
        let expected = [Change::Created, Change::Modified, Change::Written];
        assert_eq!(changes(&events), expected.map(|change| (change, name())));
        std::fs::set_permissions(folder.at("a"), PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::rename(folder.at("a"), folder.at("b")).unwrap();
        std::fs::create_dir(folder.at("dir")).unwrap();
        std::fs::rename(folder.at("b"), other.at("b")).unwrap();
        let events = take(cx, &mut watch, 5);
        let kinds: Vec<_> = events.iter().map(WatchEvent::change).collect();
        let (from, to) = (Change::MovedFrom, Change::MovedTo);
        assert_eq!(kinds, [Change::Attributes, from, to, Change::Created, from]);
        assert_ne!(events[1].cookie(), 0);
        assert_eq!(events[1].cookie(), events[2].cookie());
        assert_eq!((events[3].is_dir(), events[4].is_dir()), (true, false));
        assert_eq!(events[4].path(), folder.at("b"));
    });
}

#[test]
fn a_wait_ends_with_what_another_task_does() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut watch = Watch::new().unwrap();
        watch.add(cx, folder.path()).unwrap();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let mut waiting = n.spawn(|cx| Ok(watch.next(cx)?));
            conbrio::testing::settle(cx, std::time::Duration::from_millis(2))?;
            conbrio::fs::create_dir(cx, folder.at("new"))?;
            assert_eq!(waiting.join(cx)?.path(), folder.at("new"));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_file_that_is_gone_says_so_and_a_removed_watch_is_silent() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut watch = Watch::new().unwrap();
        for name in ["a", "b"] {
            std::fs::write(folder.at(name), "x").unwrap();
            watch.add(cx, folder.at(name)).unwrap();
        }
        assert!(watch.remove(folder.at("b")).unwrap());
        assert!(!watch.remove(folder.at("b")).unwrap());
        std::fs::write(folder.at("b"), "y").unwrap();
        std::fs::remove_file(folder.at("a")).unwrap();
        let events = take(cx, &mut watch, 2);
        let expected = [Change::Attributes, Change::Gone].map(|change| (change, "a".to_owned()));
        assert_eq!(changes(&events), expected);
        assert!(!watch.remove(folder.at("a")).unwrap());
        let error = watch.add(cx, folder.at("missing")).unwrap_err();
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        assert!(error.to_string().contains("missing"), "{error}");
    });
}

#[test]
fn lost_events_are_reported() {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 100_000 {
        println!("SKIPPED: the system keeps {limit} events, too many for this test");
        return;
    }
    conbrio::run(|cx| {
        let folder = Folder::new();
        let mut watch = Watch::new().unwrap();
        watch.add(cx, folder.path()).unwrap();
        std::fs::write(folder.at("a"), "x").unwrap();
        // Equal events in a row are one, so these take turns.
        let from = Change::MovedFrom;
        for round in 0..=limit / 2 {
            let names = [folder.at("a"), folder.at("b")];
            std::fs::rename(&names[round % 2], &names[(round + 1) % 2]).unwrap();
        }
        let mut events = 0;
        loop {
            let event = watch.next(cx).unwrap();
            if event.change() == Change::Overflow {
                assert_eq!(event.path(), std::path::Path::new(""));
                break;
            }
            events += 1;
        }
        assert!(events <= limit, "{events} {from:?}");
        // It goes on.
        std::fs::create_dir(folder.at("later")).unwrap();
        assert_eq!(watch.next(cx).unwrap().path(), folder.at("later"));
    });
}
