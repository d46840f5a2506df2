//! Files and directories that go away by themselves.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use conbrio::fs::{self, TempDir, TempFile};
use conbrio::io::{Read, Seek, Write};

use crate::support::{Folder, on_workers};

#[test]
fn temporary_files_go_with_their_guard() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut file = TempFile::new_in(cx, folder.path()).unwrap();
        file.write_all(cx, b"hello").unwrap();
        file.rewind(cx).unwrap();
        let mut text = String::new();
        file.read_to_string(cx, &mut text).unwrap();
        assert_eq!(text, "hello");
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.names().len(), 1);
        drop(file);
        assert!(folder.names().is_empty());
        TempFile::new_in(cx, folder.path()).unwrap().close(cx).unwrap();
        assert!(folder.names().is_empty());
        let (file, path) = TempFile::new_in(cx, folder.path()).unwrap().keep();
        drop(file);
        assert!(path.exists());
    });
}

#[test]
fn a_panic_leaves_no_temporary_file_behind() {
    let folder = Folder::new();
    let panicked = std::panic::catch_unwind(|| {
        conbrio::run(|cx| {
            let _file = TempFile::new_in(cx, folder.path()).unwrap();
            let dir = TempDir::new_in(cx, folder.path()).unwrap();
            fs::write(cx, dir.path().join("file"), "x").unwrap();
            assert_eq!(folder.names().len(), 2);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    });
    assert!(panicked.is_err());
    assert!(folder.names().is_empty());
}

#[test]
fn a_file_is_persisted_as_a_whole() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("final");
        for (content, is_new) in [("one", true), ("two", false)] {
            let mut file = TempFile::new_in(cx, folder.path()).unwrap();
            file.write_all(cx, content.as_bytes()).unwrap();
            let file = match is_new {
                true => file.persist_new(cx, &path).unwrap(),
                false => file.persist(cx, &path).unwrap(),
            };
            drop(file);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert_eq!(folder.names(), ["final"]);
        }
        let error =
            TempFile::new_in(cx, folder.path()).unwrap().persist_new(cx, &path).unwrap_err();
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::AlreadyExists);
        let error = TempFile::new_in(cx, folder.path()).unwrap().persist(cx, folder.at("no/such"));
        assert_eq!(std::io::Error::from(error.unwrap_err()).kind(), ErrorKind::NotFound);
        assert_eq!(folder.names(), ["final"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    });
}

#[test]
fn temporary_directories_go_with_everything_in_them() {
    on_workers(|cx| {
        let folder = Folder::new();
        for closes in [true, false] {
            let dir = TempDir::new_in(cx, folder.path()).unwrap();
            let mode = std::fs::metadata(dir.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            // Deeper than the stack of a task would allow a recursion.
            let mut path = dir.path().to_owned();
            for _ in 0..60 {
                path.push("d");
            }
            fs::create_dir_all(cx, &path).unwrap();
            fs::write(cx, path.join("file"), "x").unwrap();
            if closes {
                dir.close(cx).unwrap();
            } else {
                drop(dir);
            }
            assert!(folder.names().is_empty());
        }
        let path = TempDir::new_in(cx, folder.path()).unwrap().keep();
        assert!(path.is_dir() && path.is_absolute());
    });
}
