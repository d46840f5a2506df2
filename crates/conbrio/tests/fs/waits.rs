//! N17: every function here that waits, cancelled at every point at which it can see that, in a simulated run and
//! on each reactor. It has happened, or it has not, as the result says.

use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use conbrio::Builder;
use conbrio::fs::{self, File, FileTimes, OpenOptions, Permissions, TempDir, TempFile, Watch};
use conbrio::io::{Read, Seek, Write};
use conbrio::prelude::*;
use conbrio::testing::{CancelPoints, Trial};

use crate::support::{Folder, reactors};

/// Runs the trials everywhere. There must be `points` of them at least.
#[track_caller]
fn everywhere(points: usize, mut body: impl FnMut(&mut Cx, &Trial) + Send) {
    let mut passed = vec![CancelPoints::new().run(&mut body)];
    passed.extend(real(&mut body));
    assert!(passed.iter().all(|passed| *passed >= points), "{passed:?} points");
}

fn real(body: &mut (impl FnMut(&mut Cx, &Trial) + Send)) -> Vec<usize> {
    let run = |reactor| {
        let builder = Builder::new().workers(1).reactor(reactor);
        CancelPoints::new().real(builder).run(&mut *body)
    };
    reactors().map(run).collect()
}

/// Whether a call was cancelled. Any other error fails the test.
#[track_caller]
fn is_cancelled<T, E: MaybeCancelled + std::fmt::Debug>(
    trial: &Trial,
    result: &Result<T, E>,
) -> bool {
    match result {
        Ok(_) => false,
        Err(error) => {
            assert!(error.cancelled().is_some(), "it failed: {error:?}");
            assert!(trial.is_cancelled(), "nobody has cancelled it: {error:?}");
            true
        }
    }
}

/// `f` in a folder with a file `old`, which holds `content`. Afterwards, the folder holds the names and contents
/// of the first list if it was cancelled, and of the second if not.
#[track_caller]
fn changes<R, E: MaybeCancelled + std::fmt::Debug>(
    before: &[(&str, &str)],
    after: &[(&str, &str)],
    f: impl Fn(&mut Cx, &Folder) -> Result<R, E> + Send + Sync,
) {
    everywhere(1, |cx, trial| {
        let folder = Folder::new();
        std::fs::write(folder.at("old"), "content").unwrap();
        let result = trial.run(cx, |cx| f(cx, &folder).map(drop));
        let expected = if is_cancelled(trial, &result) { before } else { after };
        let contents: Vec<(String, String)> = folder
            .names()
            .into_iter()
            .map(|name| {
                let content = std::fs::read_to_string(folder.at(&name)).unwrap_or_default();
                (name, content)
            })
            .collect();
        let seen: Vec<(&str, &str)> =
            contents.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        assert_eq!(seen, expected);
    });
}

type Ask = fn(&mut Cx, &Path) -> Result<bool, conbrio::io::Error>;

const OLD: &[(&str, &str)] = &[("old", "content")];

// N17: fs::File::open, fs::File::create, fs::File::create_new, fs::OpenOptions::open
#[test]
fn opening() {
    changes(OLD, OLD, |cx, folder| File::open(cx, folder.at("old")));
    changes(OLD, &[("old", "")], |cx, folder| File::create(cx, folder.at("old")));
    let new = &[("new", ""), ("old", "content")];
    changes(OLD, new, |cx, folder| File::create_new(cx, folder.at("new")));
    changes(OLD, new, |cx, folder| {
        OpenOptions::new().append(true).create(true).open(cx, folder.at("new"))
    });
}

// N17: fs::rename, fs::remove_file, fs::hard_link, fs::symlink
// N17: fs::create_dir, fs::create_dir_all, fs::remove_dir
#[test]
fn names() {
    changes(OLD, &[("new", "content")], |cx, folder| {
        fs::rename(cx, folder.at("old"), folder.at("new"))
    });
    changes(OLD, &[], |cx, folder| fs::remove_file(cx, folder.at("old")));
    let two = &[("new", "content"), ("old", "content")];
    changes(OLD, two, |cx, folder| fs::hard_link(cx, folder.at("old"), folder.at("new")));
    changes(OLD, two, |cx, folder| fs::symlink(cx, "old", folder.at("new")));
    let made = &[("new", ""), ("old", "content")];
    changes(OLD, made, |cx, folder| fs::create_dir(cx, folder.at("new")));
    changes(OLD, made, |cx, folder| fs::create_dir_all(cx, folder.at("new/a/b")));
    everywhere(1, |cx, trial| {
        let folder = Folder::new();
        std::fs::create_dir(folder.at("dir")).unwrap();
        let result = trial.run(cx, |cx| fs::remove_dir(cx, folder.at("dir")));
        assert_eq!(folder.at("dir").exists(), is_cancelled(trial, &result));
    });
}

// N17: fs::metadata, fs::symlink_metadata, fs::exists, fs::read_link, fs::canonicalize
// N17: fs::DirEntry::metadata, fs::File::metadata
#[test]
fn questions() {
    let asks: &[Ask] = &[
        |cx, path| Ok(fs::metadata(cx, path)?.is_file()),
        |cx, path| Ok(fs::symlink_metadata(cx, path)?.is_symlink()),
        |cx, path| fs::exists(cx, path),
        |cx, path| Ok(fs::read_link(cx, path)? == Path::new("old")),
        |cx, path| Ok(fs::canonicalize(cx, path)?.ends_with("old")),
        |cx, path| Ok(File::open(cx, path)?.metadata(cx)?.len() == 7),
        |cx, path| {
            let mut entries = fs::read_dir(cx, path.parent().unwrap())?;
            Ok(entries.next(cx)?.unwrap().metadata(cx)?.ino() > 0)
        },
    ];
    for ask in asks {
        everywhere(1, |cx, trial| {
            let folder = Folder::new();
            std::fs::write(folder.at("old"), "content").unwrap();
            std::os::unix::fs::symlink("old", folder.at("link")).unwrap();
            let result = trial.run(cx, |cx| ask(cx, &folder.at("link")));
            assert!(is_cancelled(trial, &result) || result.unwrap());
        });
    }
}

// N17: fs::File::sync_all, fs::File::sync_data, fs::File::flush, fs::File::close
#[test]
fn making_durable_and_closing() {
    for way in 0..4 {
        changes(OLD, OLD, |cx, folder| {
            let mut file = OpenOptions::new().write(true).open(cx, folder.at("old"))?;
            match way {
                0 => file.sync_all(cx),
                1 => file.sync_data(cx),
                2 => file.flush(cx),
                _ => file.close(cx),
            }
        });
    }
}

// N17: fs::File::set_len, fs::File::allocate, fs::File::set_permissions, fs::File::set_times, fs::set_permissions
#[test]
fn attributes() {
    let time = SystemTime::UNIX_EPOCH;
    for way in 0..5 {
        everywhere(1, |cx, trial| {
            let folder = Folder::new();
            let path = folder.at("file");
            std::fs::write(&path, "content").unwrap();
            let file = OpenOptions::new().write(true).open(cx, &path).unwrap();
            let permissions = Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            let result = trial.run(cx, |cx| match way {
                0 => file.set_len(cx, 3),
                1 => file.allocate(cx, 0, 3),
                2 => file.set_permissions(cx, permissions),
                3 => file.set_times(cx, FileTimes::new().set_modified(time)),
                _ => fs::set_permissions(cx, &path, permissions),
            });
            let status = std::fs::metadata(&path).unwrap();
            let has_changed = match way {
                0 => status.len() == 3,
                1 => return assert_eq!(status.len(), 7),
                3 => status.modified().unwrap() == time,
                _ => status.permissions().mode() & 0o777 == 0o600,
            };
            assert_eq!(has_changed, !is_cancelled(trial, &result));
        });
    }
}

// N17: fs::File::read, fs::File::read_vectored, fs::File::read_at, fs::File::read_exact_at
// N17: fs::File::read_vectored_at
#[test]
fn reading() {
    for way in 0..5 {
        everywhere(1, |cx, trial| {
            let folder = Folder::new();
            std::fs::write(folder.at("file"), "content").unwrap();
            let mut file = File::open(cx, folder.at("file")).unwrap();
            let mut buf = [0; 3];
            let result = trial.run(cx, |cx| {
                let mut list = [IoSliceMut::new(&mut buf)];
                match way {
                    0 => file.read_vectored(cx, &mut list),
                    1 => file.read_vectored_at(cx, &mut list, 0),
                    2 => file.read(cx, &mut buf),
                    3 => file.read_at(cx, &mut buf, 0),
                    _ => match file.read_exact_at(cx, &mut buf, 0) {
                        Ok(()) => Ok(3),
                        Err(error) => {
                            assert_eq!(error.done(), 0);
                            Err(error.into_cause())
                        }
                    },
                }
            });
            let moves = way % 2 == 0 && way < 4 && !is_cancelled(trial, &result);
            if let Ok(count) = result {
                assert_eq!((count, &buf), (3, b"con"));
            }
            let position = file.stream_position(cx).unwrap();
            assert_eq!(position, if moves { 3 } else { 0 });
        });
    }
}

// N17: fs::File::write, fs::File::write_vectored, fs::File::write_at, fs::File::write_all_at
// N17: fs::File::write_vectored_at, fs::File::copy_range
#[test]
fn writing() {
    for way in 0..6 {
        changes(OLD, &[("old", "CONtent")], |cx, folder| {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).open(cx, folder.at("old"))?;
            let list = [IoSlice::new(b"CO"), IoSlice::new(b"N")];
            match way {
                0 => file.write(cx, b"CON").map(drop),
                1 => file.write_vectored(cx, &list).map(drop),
                2 => file.write_at(cx, b"CON", 0).map(drop),
                3 => file.write_all_at(cx, b"CON", 0).map_err(|error| {
                    assert_eq!(error.done(), 0);
                    error.into_cause()
                }),
                4 => file.write_vectored_at(cx, &list, 0).map(drop),
                _ => {
                    let from = File::from_std(std::fs::File::from(memory("CON")));
                    match from.copy_range(cx, 0, &file, 0, 3) {
                        Err(OrCancelled::Failed(_)) => file.write_at(cx, b"CON", 0).map(drop),
                        result => result.map(drop),
                    }
                }
            }
        });
    }
}

/// A file that has no name.
fn memory(content: &str) -> std::os::fd::OwnedFd {
    let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    assert_eq!(rustix::io::write(&fd, content.as_bytes()).unwrap(), content.len());
    fd
}

// N17: fs::File::seek, io::Seek::seek, io::Seek::rewind, io::Seek::stream_position
#[test]
fn positions() {
    for way in 0..4 {
        everywhere(1, |cx, trial| {
            let folder = Folder::new();
            std::fs::write(folder.at("file"), "content").unwrap();
            let mut file = File::open(cx, folder.at("file")).unwrap();
            file.seek(cx, SeekFrom::Start(3)).unwrap();
            let result = trial.run(cx, |cx| match way {
                0 => file.seek(cx, SeekFrom::Current(2)).map(drop),
                1 => file.seek(cx, SeekFrom::End(-2)).map(drop),
                2 => file.rewind(cx),
                _ => file.stream_position(cx).map(drop),
            });
            let position = file.stream_position(cx).unwrap();
            let expected = if is_cancelled(trial, &result) { 3 } else { [5, 5, 0, 3][way] };
            assert_eq!(position, expected);
        });
    }
}

// N17: fs::File::lock, fs::File::lock_shared
#[test]
fn locks() {
    for shared in [true, false] {
        everywhere(1, |cx, trial| {
            let folder = Folder::new();
            let file = File::create(cx, folder.at("file")).unwrap();
            let other = File::open(cx, folder.at("file")).unwrap();
            let result = trial.run(cx, |cx| match shared {
                true => file.lock_shared(cx),
                false => file.lock(cx),
            });
            assert_eq!(other.try_lock().unwrap(), is_cancelled(trial, &result));
        });
    }
}

// N17: fs::read, fs::read_to_string, fs::write, fs::copy
#[test]
fn whole_files() {
    changes(OLD, OLD, |cx, folder| fs::read(cx, folder.at("old")));
    changes(OLD, OLD, |cx, folder| fs::read_to_string(cx, folder.at("old")));
    for copies in [true, false] {
        everywhere(1, |cx, trial| {
            let folder = Folder::new();
            std::fs::write(folder.at("from"), "content").unwrap();
            let (from, to) = (folder.at("from"), folder.at("to"));
            let result = trial.run(cx, |cx| match copies {
                true => fs::copy(cx, &from, &to).map(|count| assert_eq!(count, 7)),
                false => fs::write(cx, &to, "content"),
            });
            let written = std::fs::read(&to).unwrap_or_default();
            match is_cancelled(trial, &result) {
                true => assert_eq!(written, b"content"[..result.unwrap_err().done() as usize]),
                false => assert_eq!(written, b"content"),
            }
        });
    }
}

// N17: fs::write_atomic
#[test]
fn replacing() {
    changes(OLD, &[("old", "new")], |cx, folder| fs::write_atomic(cx, folder.at("old"), "new"));
    let new = &[("new", "new"), ("old", "content")];
    changes(OLD, new, |cx, folder| fs::write_atomic(cx, folder.at("new"), "new"));
}

// N17: fs::TempFile::new, fs::TempFile::new_in, fs::TempFile::close
// N17: fs::TempFile::persist, fs::TempFile::persist_new, fs::TempDir::new, fs::TempDir::new_in, fs::TempDir::close
#[test]
fn temporary_files() {
    changes(OLD, OLD, |cx, folder| TempFile::new_in(cx, folder.path()).map(drop));
    changes(OLD, OLD, |cx, folder| TempFile::new_in(cx, folder.path())?.close(cx));
    changes(OLD, OLD, |cx, _| TempFile::new(cx).map(drop));
    changes(OLD, OLD, |cx, _| TempDir::new(cx)?.close(cx));
    changes(OLD, &[("old", "")], |cx, folder| {
        TempFile::new_in(cx, folder.path())?.persist(cx, folder.at("old"))
    });
    changes(OLD, &[("new", ""), ("old", "content")], |cx, folder| {
        TempFile::new_in(cx, folder.path())?.persist_new(cx, folder.at("new"))
    });
    changes(OLD, OLD, |cx, folder| {
        let dir = TempDir::new_in(cx, folder.path())?;
        fs::create_dir_all(cx, dir.path().join("a/b"))?;
        dir.close(cx)
    });
}

// N17: fs::read_dir, fs::ReadDir::next, fs::Walk::next
#[test]
fn directories() {
    for walks in [true, false] {
        everywhere(3, |cx, trial| {
            let folder = Folder::new();
            std::fs::create_dir(folder.at("dir")).unwrap();
            for name in ["a", "b", "dir/c"] {
                std::fs::write(folder.at(name), "").unwrap();
            }
            let (mut seen, mut cancelled) = (Vec::new(), 0);
            let mut walk = fs::walk(folder.path()).follow_links(true);
            let mut entries = None;
            // Once cancelled, it goes on where it was.
            for calm in [false, true] {
                let mut round = |cx: &mut Cx| -> Result<(), conbrio::io::Error> {
                    if walks {
                        while let Some(entry) = walk.next(cx)? {
                            seen.push(entry.into_path());
                        }
                        return Ok(());
                    }
                    if entries.is_none() {
                        entries = Some(fs::read_dir(cx, folder.path())?);
                    }
                    while let Some(entry) = entries.as_mut().unwrap().next(cx)? {
                        seen.push(entry.into_path());
                    }
                    Ok(())
                };
                match calm {
                    false => {
                        let result = trial.run(cx, &mut round);
                        cancelled += usize::from(is_cancelled(trial, &result));
                    }
                    true => round(cx).unwrap(),
                }
            }
            seen.sort();
            let names: &[&str] =
                if walks { &["a", "b", "dir", "dir/c"] } else { &["a", "b", "dir"] };
            let expected: Vec<_> = names.iter().map(|name| folder.at(name)).collect();
            assert_eq!(seen, expected, "{cancelled}");
        });
    }
}

// N17: fs::remove_dir_all
#[test]
fn removing_a_tree() {
    everywhere(1, |cx, trial| {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.at("tree/a/b")).unwrap();
        std::fs::write(folder.at("tree/a/file"), "").unwrap();
        let result = trial.run(cx, |cx| fs::remove_dir_all(cx, folder.at("tree")));
        assert_eq!(folder.at("tree").exists(), is_cancelled(trial, &result));
        // What is left is removed by another call.
        if result.is_err() {
            fs::remove_dir_all(cx, folder.at("tree")).unwrap();
        }
        assert!(folder.names().is_empty());
    });
}

// N17: fs::Watch::add, fs::Watch::next
#[test]
fn watching() {
    let passed = real(&mut |cx: &mut Cx, trial: &Trial| {
        let folder = Folder::new();
        let mut watch = Watch::new().unwrap();
        let added = trial.run(cx, |cx| watch.add(cx, folder.path()));
        if is_cancelled(trial, &added) {
            watch.add(cx, folder.path()).unwrap();
        }
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let path = folder.at("new");
            n.spawn(move |cx| {
                conbrio::testing::settle(cx, std::time::Duration::ZERO)?;
                std::fs::create_dir(path)
            });
            let seen = trial.run(cx, |cx| watch.next(cx));
            let event = match is_cancelled(trial, &seen) {
                true => watch.next(cx)?,
                false => seen?,
            };
            assert_eq!(event.path(), folder.at("new"));
            Ok(())
        })
        .unwrap();
    });
    assert!(passed.iter().all(|passed| *passed >= 3), "{passed:?} points");
}
