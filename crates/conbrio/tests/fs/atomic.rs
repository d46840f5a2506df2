//! Replacing files as a whole.

use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conbrio::fs;

use crate::support::{Chance, Folder, on_workers, pattern, rounds};

#[test]
fn a_file_is_made_and_replaced_with_its_permissions() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("file");
        fs::write_atomic(cx, &path, "one").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o604)).unwrap();
        let data = pattern(2_000_000);
        fs::write_atomic(cx, &path, &data).unwrap();
        assert!(std::fs::read(&path).unwrap() == data);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
        assert_eq!(folder.names(), ["file"]);
        // A link is replaced.
        symlink("file", folder.at("link")).unwrap();
        fs::write_atomic(cx, folder.at("link"), "two").unwrap();
        assert!(std::fs::read(&path).unwrap() == data);
        assert!(!std::fs::symlink_metadata(folder.at("link")).unwrap().is_symlink());
    });
}

#[test]
fn a_replacement_that_fails_leaves_the_old_file_and_nothing_else() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::create_dir(folder.at("dir")).unwrap();
        std::fs::write(folder.at("dir/file"), "old").unwrap();
        let error = std::io::Error::from(fs::write_atomic(cx, folder.at("dir"), "x").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::IsADirectory, "{error}");
        let missing = fs::write_atomic(cx, folder.at("no/file"), "x").unwrap_err();
        assert_eq!(std::io::Error::from(missing).kind(), ErrorKind::NotFound);
        assert_eq!(folder.names(), ["dir"]);
    });
}

/// Cancelled at any time, the file holds the old or the new content, as the result says.
// spec: S25
#[test]
fn a_cancelled_replacement_has_happened_or_not() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("file");
        let mut chance = Chance::new(7);
        let mut expected = Vec::new();
        let (mut done, mut cancelled) = (0, 0);
        fs::write_atomic(cx, &path, &expected).unwrap();
        for round in 0..rounds(25, 2_000) {
            let data = vec![round as u8; chance.below(300_000)];
            let limit = Duration::from_micros(chance.below(1_500) as u64);
            match cx.move_on_after(limit, |cx| fs::write_atomic(cx, &path, &data)) {
                Ok(Some(())) => {
                    done += 1;
                    expected = data;
                }
                Ok(None) => cancelled += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(std::fs::read(&path).unwrap() == expected);
            assert_eq!(folder.names(), ["file"]);
        }
        println!("{done} done, {cancelled} cancelled");
        assert!(cancelled > 0);
    });
}

#[test]
fn readers_never_see_half_of_it() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("file");
        fs::write_atomic(cx, &path, vec![0; 50_000]).unwrap();
        let is_over = AtomicBool::new(false);
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                while !is_over.load(Ordering::SeqCst) {
                    let seen = fs::read(cx, &path)?;
                    assert_eq!(seen.len(), 50_000);
                    assert!(seen.iter().all(|byte| *byte == seen[0]));
                }
                Ok(())
            });
            for round in 0..rounds(5, 200) as u8 {
                fs::write_atomic(cx, &path, vec![round; 50_000])?;
            }
            is_over.store(true, Ordering::SeqCst);
            Ok(())
        })
        .unwrap();
    });
}
