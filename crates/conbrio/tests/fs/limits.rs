//! Full disks, too many files, directories that are not ours.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use conbrio::fs::{self, File, PathError};
use conbrio::io::Write;
use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Folder, descriptors, in_a_process_of_its_own, on_workers, pattern};

fn limit(resource: Resource, to: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(to), maximum }).unwrap();
}

/// A small file system of our own, where this process may mount one.
struct Disk(Folder);

impl Disk {
    fn new(bytes: u64) -> Option<Disk> {
        let folder = Folder::new();
        let options = std::ffi::CString::new(format!("size={bytes}")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        let mounted =
            rustix::mount::mount("conbrio-test", folder.path(), "tmpfs", flags, Some(&*options));
        match mounted {
            Ok(()) => Some(Disk(folder)),
            Err(error) => {
                println!("SKIPPED: no file system can be mounted here: {error}");
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_is_an_error_that_says_how_far_it_came() {
    on_workers(|cx| {
        let Some(disk) = Disk::new(1 << 20) else { return };
        let data = pattern(3 << 20);
        let error = fs::write(cx, disk.0.at("file"), &data).unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::StorageFull), "{error}");
        let written = std::fs::read(disk.0.at("file")).unwrap();
        assert!(written == data[..error.done() as usize]);
        let error = std::io::Error::from(error);
        assert_eq!(PathError::of(&error).unwrap().path(), disk.0.at("file"));
        std::fs::remove_file(disk.0.at("file")).unwrap();

        // The old content stays, and nothing else.
        fs::write_atomic(cx, disk.0.at("kept"), "old").unwrap();
        let error =
            std::io::Error::from(fs::write_atomic(cx, disk.0.at("kept"), &data).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        assert_eq!(PathError::of(&error).unwrap().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(disk.0.names(), ["kept"]);
        assert_eq!(std::fs::read(disk.0.at("kept")).unwrap(), b"old");

        let folder = Folder::new();
        std::fs::write(folder.at("big"), &data).unwrap();
        let error = fs::copy(cx, folder.at("big"), disk.0.at("copy")).unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::StorageFull), "{error}");
        let written = std::fs::read(disk.0.at("copy")).unwrap();
        assert!(written == data[..error.done() as usize]);
        let file = File::create(cx, disk.0.at("room")).unwrap();
        let error = std::io::Error::from(file.allocate(cx, 0, 5 << 20).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    });
}

/// For those who may not mount anything: the limit of file sizes is met in the same way.
#[test]
fn a_limit_of_the_size_is_an_error_that_says_how_far_it_came() {
    in_a_process_of_its_own(
        "limits::a_limit_of_the_size_is_an_error_that_says_how_far_it_came",
        || {
            // Its default action ends the process. A handler of ours, which does nothing, is in the way of that.
            let signal = Signal::from_raw(libc::SIGXFSZ);
            // For good: those that a kernel's thread has met may come late.
            std::mem::forget(Signals::new(&[signal]).unwrap());
            let size = 1_500_000;
            limit(Resource::Fsize, size);
            on_workers(|cx| {
                let folder = Folder::new();
                let data = pattern(4_000_000);
                let mut file = File::create(cx, folder.at("file")).unwrap();
                let error = file.write_all(cx, &data).unwrap_err();
                assert_eq!((error.done(), error.kind()), (size, Some(ErrorKind::FileTooLarge)));
                assert!(std::fs::read(folder.at("file")).unwrap() == data[..size as usize]);
            });
        },
    );
}

#[test]
fn too_many_open_files_are_an_error_that_says_what_to_do() {
    in_a_process_of_its_own(
        "limits::too_many_open_files_are_an_error_that_says_what_to_do",
        || {
            let folder = Folder::new();
            on_workers(|cx| {
                std::fs::write(folder.at("file"), "x").unwrap();
                let before = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
                limit(Resource::Nofile, descriptors() as u64 + 10);
                let mut files = Vec::new();
                let error = loop {
                    match File::open(cx, folder.at("file")) {
                        Ok(file) => files.push(file),
                        Err(error) => break std::io::Error::from(error),
                    }
                };
                // Some may have higher numbers than the limit, and do not count.
                assert!(files.len() < 100);
                assert_eq!(PathError::of(&error).unwrap().raw_os_error(), Some(libc::EMFILE));
                assert!(error.to_string().contains("ulimit -n"), "{error}");
                let error =
                    std::io::Error::from(fs::write_atomic(cx, folder.at("new"), "x").unwrap_err());
                assert_eq!(PathError::of(&error).unwrap().raw_os_error(), Some(libc::EMFILE));
                assert!(fs::read_dir(cx, folder.path()).is_err());
                assert!(files[0].try_clone().is_err());
                drop(files);
                assert_eq!(fs::read(cx, folder.at("file")).unwrap(), b"x");
                limit(Resource::Nofile, before);
                assert_eq!(folder.names(), ["file"]);
            });
        },
    );
}

#[test]
fn a_directory_that_may_not_be_written_is_an_error() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::create_dir(folder.at("dir")).unwrap();
        std::fs::write(folder.at("dir/file"), "old").unwrap();
        let path = folder.at("dir");
        // Root may write everywhere but to /proc and /sys.
        let is_root = rustix::process::geteuid().is_root();
        let path: &Path = if is_root { Path::new("/proc/self") } else { &path };
        std::fs::set_permissions(folder.at("dir"), PermissionsExt::from_mode(0o500)).unwrap();
        let errors = [
            File::create(cx, path.join("new")).map(drop),
            fs::create_dir(cx, path.join("new")),
            fs::write_atomic(cx, path.join("new"), ""),
            fs::rename(cx, folder.at("dir"), path.join("new")),
            conbrio::fs::TempFile::new_in(cx, path).map(drop),
        ];
        for (at, result) in errors.into_iter().enumerate() {
            let error = std::io::Error::from(result.unwrap_err());
            let code = PathError::of(&error).unwrap().raw_os_error().unwrap();
            let refused = [libc::EACCES, libc::EPERM, libc::ENOENT, libc::EXDEV, libc::EROFS];
            assert!(refused.contains(&code), "{at}: {error}");
            assert!(error.cancelled().is_none());
        }
        std::fs::set_permissions(folder.at("dir"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(std::fs::read(folder.at("dir/file")).unwrap(), b"old");
    });
}
