//! Reading directories, walking through trees, removing them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use conbrio::fs;
use conbrio::prelude::*;

use crate::support::{Folder, descriptors, in_a_process_of_its_own, on_workers};

/// All paths of a walk below the folder.
fn walked(cx: &mut Cx, folder: &Folder, mut walk: fs::Walk) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(entry) = walk.next(cx).unwrap() {
        let path = entry.path().strip_prefix(folder.path()).unwrap();
        found.push(path.to_str().unwrap().to_owned());
    }
    assert!(walk.next(cx).unwrap().is_none());
    found.sort();
    found
}

// spec: test_path.iterdir
#[test]
fn a_directory_yields_each_entry_once() {
    on_workers(|cx| {
        let folder = Folder::new();
        let expected: BTreeSet<String> = (0..1000).map(|number| format!("file {number}")).collect();
        for name in &expected {
            std::fs::write(folder.at(name), "").unwrap();
        }
        let mut entries = fs::read_dir(cx, folder.path()).unwrap();
        let mut found = BTreeSet::new();
        while let Some(entry) = entries.next(cx).unwrap() {
            assert!(entry.file_type().is_file());
            assert_eq!(entry.path(), folder.at(entry.file_name()));
            let metadata = entry.metadata(cx).unwrap();
            assert_eq!(metadata.ino(), entry.ino());
            assert!(found.insert(entry.file_name().to_str().unwrap().to_owned()));
        }
        assert_eq!(found, expected);
        assert!(entries.next(cx).unwrap().is_none());
    });
}

#[test]
fn kinds_of_files_are_told_apart() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::create_dir(folder.at("dir")).unwrap();
        symlink("nowhere", folder.at("link")).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(folder.at("socket")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.at("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let mut entries = fs::read_dir(cx, folder.path()).unwrap();
        let mut seen = Vec::new();
        while let Some(entry) = entries.next(cx).unwrap() {
            let kind = entry.metadata(cx).unwrap().file_type();
            assert_eq!(kind, entry.file_type());
            seen.push(format!("{:?} {:?}", entry.file_name(), kind));
        }
        seen.sort();
        let expected =
            ["\"dir\" directory", "\"fifo\" fifo", "\"link\" symbolic link", "\"socket\" socket"];
        assert_eq!(seen, expected);
        drop(listener);
        let device = fs::metadata(cx, "/dev/null").unwrap();
        assert!(device.file_type().is_char_device() && !device.is_file());
    });
}

// spec: test_path.globmethods
#[test]
fn a_walk_finds_what_a_pattern_would() {
    on_workers(|cx| {
        let folder = Folder::new();
        for path in ["a/b/c", "a/d", "e"] {
            std::fs::create_dir_all(folder.at(path)).unwrap();
        }
        for path in ["one.txt", "two.rs", "a/three.txt", "a/b/c/four.txt", "a/d/five"] {
            std::fs::write(folder.at(path), "").unwrap();
        }
        let all = ["a", "a/b", "a/b/c", "a/b/c/four.txt", "a/d", "a/d/five", "a/three.txt", "e"];
        let mut expected: Vec<_> = all.into_iter().chain(["one.txt", "two.rs"]).collect();
        expected.sort();
        assert_eq!(walked(cx, &folder, fs::walk(folder.path())), expected);
        // `*`
        let flat = walked(cx, &folder, fs::walk(folder.path()).max_depth(1));
        assert_eq!(flat, ["a", "e", "one.txt", "two.rs"]);
        // `**/*.txt`
        let text = walked(cx, &folder, fs::walk(folder.path()));
        let text: Vec<_> = text.into_iter().filter(|path| path.ends_with(".txt")).collect();
        assert_eq!(text, ["a/b/c/four.txt", "a/three.txt", "one.txt"]);
        // Without a branch.
        let mut walk = fs::walk(folder.path());
        let mut found = Vec::new();
        while let Some(entry) = walk.next(cx).unwrap() {
            if entry.file_name() == "b" {
                assert_eq!(entry.depth(), 2);
                walk.skip_dir();
            }
            found.push(entry.into_path());
        }
        assert!(found.contains(&folder.at("a/b")) && !found.contains(&folder.at("a/b/c")));
        assert!(found.contains(&folder.at("a/d/five")));
    });
}

#[test]
fn links_are_followed_if_asked_for_and_loops_end() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.at("a/b")).unwrap();
        std::fs::create_dir(folder.at("outside")).unwrap();
        std::fs::write(folder.at("outside/file"), "").unwrap();
        symlink("..", folder.at("a/b/up")).unwrap();
        symlink(folder.path(), folder.at("a/top")).unwrap();
        symlink("self", folder.at("a/self")).unwrap();
        symlink("nowhere", folder.at("a/lost")).unwrap();
        symlink("../outside", folder.at("a/out")).unwrap();
        let links = ["a/b/up", "a/lost", "a/out", "a/self", "a/top"];
        let mut expected: Vec<_> = links.into_iter().chain(["a", "a/b", "outside"]).collect();
        expected.push("outside/file");
        expected.sort();
        assert_eq!(walked(cx, &folder, fs::walk(folder.path())), expected);
        expected.push("a/out/file");
        expected.sort();
        let followed = walked(cx, &folder, fs::walk(folder.path()).follow_links(true));
        assert_eq!(followed, expected);
        let mut walk = fs::walk(folder.path()).follow_links(true);
        while let Some(entry) = walk.next(cx).unwrap() {
            let is_loop = entry.path().ends_with("up") || entry.path().ends_with("top");
            assert_eq!(entry.is_loop(), is_loop, "{entry:?}");
            let is_link = entry.file_type().is_symlink();
            assert_eq!(
                is_link,
                is_loop || entry.path().ends_with("self") || entry.path().ends_with("lost")
            );
        }
    });
}

/// A tree of many levels, and its deepest directory's path from the root.
fn deep(folder: &Folder, levels: usize) -> PathBuf {
    let mut path = PathBuf::new();
    for _ in 0..levels {
        path.push("d");
    }
    std::fs::create_dir_all(folder.at(&path)).unwrap();
    path
}

#[test]
fn deep_trees_are_walked_with_few_descriptors_and_removed() {
    let name = "directories::deep_trees_are_walked_with_few_descriptors_and_removed";
    in_a_process_of_its_own(name, || {
        on_workers(|cx| {
            let folder = Folder::new();
            let path = deep(&folder, 100);
            // Siblings that are still to come while the walk is further down.
            for level in 1..50 {
                let above: PathBuf = path.iter().take(level).collect();
                std::fs::write(folder.at(above).join("x"), "").unwrap();
            }
            let before = descriptors();
            let (mut walk, mut most, mut files, mut depth) = (fs::walk(folder.path()), 0, 0, 0);
            while let Some(entry) = walk.next(cx).unwrap() {
                most = most.max(descriptors() - before);
                depth = depth.max(entry.depth());
                files += usize::from(entry.file_type().is_file());
            }
            assert_eq!((files, depth), (49, 100));
            assert!(most <= 33, "{most} descriptors");
            fs::remove_dir_all(cx, folder.at("d")).unwrap();
            assert!(folder.names().is_empty());
            assert_eq!(descriptors(), before);
        });
    });
}

#[test]
fn a_tree_is_removed_without_following_links() {
    on_workers(|cx| {
        let (folder, other) = (Folder::new(), Folder::new());
        std::fs::write(other.at("precious"), "").unwrap();
        std::fs::create_dir_all(folder.at("tree/a/b")).unwrap();
        for number in 0..300 {
            std::fs::write(folder.at(format!("tree/a/b/{number}")), "").unwrap();
        }
        symlink(other.path(), folder.at("tree/a/link")).unwrap();
        symlink(folder.at("tree"), folder.at("alias")).unwrap();
        fs::remove_dir_all(cx, folder.at("alias")).unwrap();
        assert_eq!(folder.names(), ["tree"]);
        fs::remove_dir_all(cx, folder.at("tree")).unwrap();
        assert!(folder.names().is_empty());
        assert_eq!(other.names(), ["precious"]);
        let error = std::io::Error::from(fs::remove_dir_all(cx, folder.at("tree")).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = fs::remove_dir_all(cx, other.at("precious")).unwrap_err();
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::NotADirectory);
    });
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error_and_the_walk_goes_on() {
    on_workers(|cx| {
        let folder = Folder::new();
        for name in ["a", "b", "c"] {
            std::fs::create_dir(folder.at(name)).unwrap();
            std::fs::write(folder.at(name).join("file"), "").unwrap();
        }
        let (mut walk, mut seen, mut errors) = (fs::walk(folder.path()), Vec::new(), 0);
        loop {
            match walk.next(cx) {
                Ok(Some(entry)) => {
                    // It goes just before it is to be entered.
                    if entry.file_name() == "b" {
                        std::fs::remove_dir_all(entry.path()).unwrap();
                    }
                    seen.push(entry.path().strip_prefix(folder.path()).unwrap().to_owned());
                }
                Ok(None) => break,
                Err(error) => {
                    let error = std::io::Error::from(error);
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                    errors += 1;
                }
            }
        }
        seen.sort();
        assert_eq!(seen, ["a", "a/file", "b", "c", "c/file"].map(PathBuf::from));
        assert_eq!(errors, 1);
        let missing = fs::walk(folder.at("missing")).next(cx).unwrap_err();
        assert_eq!(std::io::Error::from(missing).kind(), ErrorKind::NotFound);
    });
}
