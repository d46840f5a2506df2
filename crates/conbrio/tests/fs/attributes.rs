//! What is known about files, and what can be set; locks.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant, SystemTime};

use conbrio::fs::{self, File, FileTimes, Permissions};

use crate::support::{Folder, on_workers};

#[test]
fn metadata_agrees_with_the_standard_library() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::write(folder.at("file"), "12345").unwrap();
        let file = File::open(cx, folder.at("file")).unwrap();
        let expected = std::fs::metadata(folder.at("file")).unwrap();
        let ways = [fs::metadata(cx, folder.at("file")).unwrap(), file.metadata(cx).unwrap()];
        for metadata in ways {
            assert_eq!(metadata.len(), 5);
            assert_eq!(metadata.dev(), expected.dev());
            assert_eq!(metadata.ino(), expected.ino());
            assert_eq!(metadata.mode(), expected.mode());
            assert_eq!(metadata.nlink(), expected.nlink());
            assert_eq!((metadata.uid(), metadata.gid()), (expected.uid(), expected.gid()));
            assert_eq!(metadata.blocks(), expected.blocks());
            assert_eq!(metadata.permissions(), expected.permissions());
            assert_eq!(metadata.modified().unwrap(), expected.modified().unwrap());
            assert_eq!(metadata.accessed().unwrap(), expected.accessed().unwrap());
            assert_eq!(metadata.created().ok(), expected.created().ok());
            assert!(metadata.is_file() && !metadata.is_dir() && !metadata.is_symlink());
        }
    });
}

#[test]
fn sizes_permissions_and_times_are_set() {
    on_workers(|cx| {
        let folder = Folder::new();
        let file = File::create(cx, folder.at("file")).unwrap();
        file.set_len(cx, 10_000).unwrap();
        assert_eq!(file.metadata(cx).unwrap().len(), 10_000);
        file.set_len(cx, 3).unwrap();
        file.allocate(cx, 0, 100_000).unwrap();
        let metadata = file.metadata(cx).unwrap();
        assert_eq!(metadata.len(), 100_000);
        assert!(metadata.blocks() * 512 >= 100_000);
        file.set_permissions(cx, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(file.metadata(cx).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(cx, folder.at("file"), Permissions::from_mode(0o640)).unwrap();
        assert_eq!(file.metadata(cx).unwrap().mode() & 0o777, 0o640);
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5_000);
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_millis(1_500);
        let times = FileTimes::new().set_modified(time).set_accessed(before_1970);
        file.set_times(cx, times).unwrap();
        let metadata = file.metadata(cx).unwrap();
        assert_eq!(metadata.modified().unwrap(), time);
        assert_eq!(metadata.accessed().unwrap(), before_1970);
        file.sync_data(cx).unwrap();
        file.sync_all(cx).unwrap();
    });
}

#[test]
fn locks_keep_open_files_apart() {
    on_workers(|cx| {
        let folder = Folder::new();
        let one = File::create(cx, folder.at("file")).unwrap();
        let two = File::open(cx, folder.at("file")).unwrap();
        one.lock_shared(cx).unwrap();
        assert!(two.try_lock_shared().unwrap());
        assert!(!one.try_lock().unwrap());
        two.unlock().unwrap();
        assert!(one.try_lock().unwrap());
        assert!(!two.try_lock_shared().unwrap() && !two.try_lock().unwrap());
        // A duplicate has the same lock.
        let twin = one.try_clone().unwrap();
        assert!(twin.try_lock().unwrap());
        // Waits until it is given back.
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let mut waiting = n.spawn(|cx| {
                two.lock(cx)?;
                Ok(Instant::now())
            });
            cx.sleep(Duration::from_millis(3))?;
            let before = Instant::now();
            twin.unlock()?;
            assert!(waiting.join(cx)? >= before);
            Ok(())
        })
        .unwrap();
        assert!(!one.try_lock().unwrap());
        drop(two);
        assert!(one.try_lock().unwrap());
    });
}

#[test]
fn waiting_for_a_lock_is_cancelled_and_takes_nothing() {
    on_workers(|cx| {
        let folder = Folder::new();
        let one = File::create(cx, folder.at("file")).unwrap();
        let two = File::open(cx, folder.at("file")).unwrap();
        one.lock(cx).unwrap();
        for shared in [true, false] {
            let limit = Duration::from_millis(4);
            let ended = cx.move_on_after(limit, |cx| match shared {
                true => two.lock_shared(cx),
                false => two.lock(cx),
            });
            assert!(matches!(ended, Ok(None)));
        }
        one.unlock().unwrap();
        let three = File::open(cx, folder.at("file")).unwrap();
        assert!(three.try_lock().unwrap(), "the cancelled waits have nothing");
    });
}

#[test]
fn what_the_file_does_not_allow_is_an_error_with_its_name() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::write(folder.at("file"), "12345").unwrap();
        let file = File::open(cx, folder.at("file")).unwrap();
        for error in [
            file.set_len(cx, 1).unwrap_err(),
            file.allocate(cx, 0, 1).unwrap_err(),
            file.write_at(cx, b"x", 0).unwrap_err(),
            file.copy_range(cx, 0, &file, 10, 1).unwrap_err(),
        ] {
            let error = std::io::Error::from(error);
            assert_ne!(error.kind(), ErrorKind::Interrupted);
            assert!(error.to_string().contains("/file\""), "{error}");
        }
        assert_eq!(std::fs::read(folder.at("file")).unwrap(), b"12345");
    });
}
