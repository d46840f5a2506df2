//! Making, moving and removing names; names of any bytes.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use conbrio::fs::{self, File, PathError};
use conbrio::prelude::*;

use crate::support::{Folder, on_workers};

fn kind<T: std::fmt::Debug>(result: Result<T, conbrio::io::Error>) -> ErrorKind {
    std::io::Error::from(result.unwrap_err()).kind()
}

#[test]
fn names_come_and_go() {
    on_workers(|cx| {
        let folder = Folder::new();
        fs::create_dir(cx, folder.at("dir")).unwrap();
        assert_eq!(kind(fs::create_dir(cx, folder.at("dir"))), ErrorKind::AlreadyExists);
        assert_eq!(kind(fs::create_dir(cx, folder.at("a/b"))), ErrorKind::NotFound);
        fs::create_dir_all(cx, folder.at("a/b/c")).unwrap();
        fs::create_dir_all(cx, folder.at("a/b/c")).unwrap();
        fs::write(cx, folder.at("file"), "x").unwrap();
        fs::hard_link(cx, folder.at("file"), folder.at("hard")).unwrap();
        assert_eq!(fs::metadata(cx, folder.at("hard")).unwrap().nlink(), 2);
        fs::symlink(cx, "file", folder.at("soft")).unwrap();
        assert_eq!(fs::read_link(cx, folder.at("soft")).unwrap(), Path::new("file"));
        let real = fs::canonicalize(cx, folder.at("a/../soft")).unwrap();
        assert_eq!(real, folder.path().canonicalize().unwrap().join("file"));
        fs::rename(cx, folder.at("hard"), folder.at("a/b/moved")).unwrap();
        assert_eq!(fs::read(cx, folder.at("a/b/moved")).unwrap(), b"x");
        assert_eq!(kind(fs::remove_file(cx, folder.at("dir"))), ErrorKind::IsADirectory);
        assert_eq!(kind(fs::remove_dir(cx, folder.at("a"))), ErrorKind::DirectoryNotEmpty);
        assert_eq!(kind(fs::remove_dir(cx, folder.at("file"))), ErrorKind::NotADirectory);
        fs::remove_file(cx, folder.at("file")).unwrap();
        fs::remove_dir(cx, folder.at("dir")).unwrap();
        assert_eq!(kind(fs::remove_file(cx, folder.at("file"))), ErrorKind::NotFound);
        assert!(!fs::exists(cx, folder.at("soft")).unwrap());
        assert!(fs::symlink_metadata(cx, folder.at("soft")).unwrap().is_symlink());
        assert_eq!(folder.names(), ["a", "soft"]);
    });
}

#[test]
fn a_name_is_any_bytes() {
    on_workers(|cx| {
        let folder = Folder::new();
        let name = OsStr::from_bytes(b"caf\xe9 \xff\n\"'");
        let path = folder.at(name);
        fs::write(cx, &path, "content").unwrap();
        assert_eq!(fs::read(cx, &path).unwrap(), b"content");
        let mut entries = fs::read_dir(cx, folder.path()).unwrap();
        let entry = entries.next(cx).unwrap().unwrap();
        assert_eq!((entry.file_name(), entry.path()), (name, path.as_path()));
        assert!(entries.next(cx).unwrap().is_none());
        fs::rename(cx, &path, folder.at("plain")).unwrap();
        let error = std::io::Error::from(fs::metadata(cx, &path).unwrap_err());
        // It can be read, and is unambiguous.
        assert!(error.to_string().contains("caf\\xE9 \\xFF\\n\\\""), "{error}");
    });
}

#[test]
fn a_zero_byte_in_a_path_is_a_clear_error() {
    on_workers(|cx| {
        let path = Path::new(OsStr::from_bytes(b"/tmp/a\0b"));
        let there = Path::new("/tmp");
        let errors = [
            File::open(cx, path).map(drop),
            fs::metadata(cx, path).map(drop),
            fs::symlink_metadata(cx, path).map(drop),
            fs::exists(cx, path).map(drop),
            fs::read(cx, path).map(drop),
            fs::remove_file(cx, path),
            fs::remove_dir(cx, path),
            fs::remove_dir_all(cx, path),
            fs::create_dir(cx, path),
            fs::create_dir_all(cx, path),
            fs::rename(cx, path, there),
            fs::rename(cx, there, path),
            fs::hard_link(cx, path, there),
            fs::symlink(cx, path, there),
            fs::read_link(cx, path).map(drop),
            fs::canonicalize(cx, path).map(drop),
            fs::read_dir(cx, path).map(drop),
            fs::walk(path).next(cx).map(drop),
            fs::write_atomic(cx, path, ""),
            fs::write(cx, path, "").map_err(|error| error.into_cause()),
            fs::copy(cx, path, there).map(drop).map_err(|error| error.into_cause()),
        ];
        for (at, result) in errors.into_iter().enumerate() {
            let error = std::io::Error::from(result.unwrap_err());
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{at}: {error}");
            assert!(error.to_string().contains("a\\0b"), "{at}: {error}");
        }
    });
}

#[test]
fn errors_name_the_file_and_what_was_tried() {
    on_workers(|cx| {
        let folder = Folder::new();
        let missing = folder.at("missing");
        let message = |error: conbrio::io::Error| std::io::Error::from(error).to_string();
        let text = message(File::open(cx, &missing).unwrap_err());
        assert!(text.starts_with("open \"") && text.contains("missing"), "{text}");
        let text = message(fs::rename(cx, &missing, folder.at("new")).unwrap_err());
        assert!(
            text.contains("missing") && text.contains("\" to \"") && text.contains("new"),
            "{text}"
        );
        // Of an open file the system knows the path.
        let file = File::create(cx, folder.at("writable")).unwrap();
        let error = std::io::Error::from(file.read_at(cx, &mut [0], 0).unwrap_err());
        assert!(error.to_string().contains("read \"") && error.to_string().contains("writable"));
        assert_eq!(PathError::of(&error).unwrap().raw_os_error(), Some(libc::EBADF));
        assert_eq!(PathError::of(&error).unwrap().operation(), "read");
        // Also deep inside.
        let error = fs::write_atomic(cx, folder.at("no/such"), "").unwrap_err();
        let error = std::io::Error::from(error);
        assert_eq!(PathError::of(&error).unwrap().path(), folder.at("no/such"));
        assert_eq!(PathError::of(&error).unwrap().raw_os_error(), Some(libc::ENOENT));
        assert!(PathError::of(&std::io::Error::other("else")).is_none());
    });
}

#[test]
fn a_cancelled_call_is_no_failure_with_a_path() {
    on_workers(|cx| {
        let cancelled = cx.cancel_scope(|cx, scope| -> std::io::Result<()> {
            scope.cancel();
            let error = std::io::Error::from(File::open(cx, "/no/such").unwrap_err());
            assert!(error.cancelled().is_some() && PathError::of(&error).is_none());
            Err(error)
        });
        assert!(matches!(cancelled, Ok(None)));
    });
}
