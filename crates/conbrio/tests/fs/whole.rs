//! Whole files in one call.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use conbrio::fs;

use crate::support::{Folder, on_workers, pattern};

#[test]
fn whole_files_are_written_and_read() {
    on_workers(|cx| {
        let folder = Folder::new();
        for size in [0, 1, 8 * 1024, 8 * 1024 + 1, 1 << 20, (1 << 20) + 17, 3_333_333] {
            let data = pattern(size);
            fs::write(cx, folder.at("file"), &data).unwrap();
            assert!(fs::read(cx, folder.at("file")).unwrap() == data);
        }
        fs::write(cx, folder.at("file"), "grüße").unwrap();
        assert_eq!(fs::read_to_string(cx, folder.at("file")).unwrap(), "grüße");
        fs::write(cx, folder.at("file"), b"\xff").unwrap();
        let error = std::io::Error::from(fs::read_to_string(cx, folder.at("file")).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("file"), "{error}");
    });
}

/// Files without a size, which copy_file_range(2) takes for empty.
#[test]
fn what_the_kernel_makes_up_is_read_and_copied() {
    on_workers(|cx| {
        let folder = Folder::new();
        let expected = std::fs::read("/proc/self/limits").unwrap();
        assert_eq!(fs::read(cx, "/proc/self/limits").unwrap(), expected);
        let count = fs::copy(cx, "/proc/self/limits", folder.at("copy")).unwrap();
        assert_eq!(count, expected.len() as u64);
        assert_eq!(std::fs::read(folder.at("copy")).unwrap(), expected);
    });
}

#[test]
fn a_copy_has_content_and_permissions() {
    on_workers(|cx| {
        let folder = Folder::new();
        let data = pattern(2_500_000);
        std::fs::write(folder.at("from"), &data).unwrap();
        std::fs::set_permissions(folder.at("from"), PermissionsExt::from_mode(0o640)).unwrap();
        std::fs::write(folder.at("to"), pattern(9_000_000)).unwrap();
        assert_eq!(fs::copy(cx, folder.at("from"), folder.at("to")).unwrap(), 2_500_000);
        assert!(std::fs::read(folder.at("to")).unwrap() == data);
        let metadata = std::fs::metadata(folder.at("to")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        // To another file system, if this is one.
        let elsewhere = Folder::inside(std::path::Path::new("/dev/shm"));
        assert_eq!(fs::copy(cx, folder.at("from"), elsewhere.at("to")).unwrap(), 2_500_000);
        assert!(std::fs::read(elsewhere.at("to")).unwrap() == data);
    });
}

#[test]
fn a_copy_to_itself_or_of_a_directory_is_refused_and_harms_nothing() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::write(folder.at("file"), "content").unwrap();
        std::fs::hard_link(folder.at("file"), folder.at("same")).unwrap();
        std::os::unix::fs::symlink("file", folder.at("link")).unwrap();
        for to in ["file", "same", "link"] {
            let error = fs::copy(cx, folder.at("file"), folder.at(to)).unwrap_err();
            assert_eq!((error.done(), error.kind()), (0, Some(ErrorKind::InvalidInput)));
            let text = std::io::Error::from(error).to_string();
            assert!(text.contains("same file") && text.contains("to"), "{text}");
        }
        let error = fs::copy(cx, folder.path(), folder.at("other")).unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::InvalidInput));
        assert_eq!(std::fs::read(folder.at("file")).unwrap(), b"content");
        assert_eq!(folder.names(), ["file", "link", "same"]);
    });
}
