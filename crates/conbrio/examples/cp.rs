//! Copies files and trees, several files at a time, and shows how far it is. On Ctrl-C it stops: every file at
//! the target is complete, or is not there.
//!
//! Run: `cargo run --release --example cp -- <from> <to>`
//! Expect: a copy with the permissions of the original. Symbolic links are copied as they are.
//!
//! smoke:
//! smoke-expect: 41 files, 5 directories and 1 link copied
//! smoke-expect: and they are equal

use conbrio::fs::{self, File, TempDir, TempFile};
use conbrio::io::{self, Write};
use conbrio::prelude::*;
use conbrio::signal::cancel_on_ctrl_c;
use conbrio::sync::Semaphore;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const FILES_AT_ONCE: usize = 16;

#[derive(Default)]
struct Progress {
    bytes_found: AtomicU64,
    bytes_done: AtomicU64,
    files: AtomicU64,
    directories: AtomicU64,
    links: AtomicU64,
}

/// Copies one file: whoever looks at `to` finds all of it, or nothing of it.
fn copy_file(cx: &mut Cx, from: &Path, to: &Path, progress: &Progress) -> std::io::Result<()> {
    let mut source = File::open(cx, from)?;
    let metadata = source.metadata(cx)?;
    progress.bytes_found.fetch_add(metadata.len(), Relaxed);
    let mut copy = TempFile::new_in(cx, to.parent().unwrap_or(Path::new(".")))?;
    let mut at = 0;
    loop {
        // The bytes do not leave the kernel.
        match source.copy_range(cx, at, &copy, at, u64::MAX) {
            Ok(0) => break,
            Ok(count) => {
                at += count as u64;
                progress.bytes_done.fetch_add(count as u64, Relaxed);
            }
            // The two file systems do not go together: through our memory, then.
            Err(OrCancelled::Failed(error))
                if at == 0 && error.kind() != ErrorKind::StorageFull =>
            {
                let count = io::copy(cx, &mut source, &mut *copy)?;
                progress.bytes_done.fetch_add(count, Relaxed);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    copy.set_permissions(cx, metadata.permissions())?;
    copy.persist(cx, to)?;
    progress.files.fetch_add(1, Relaxed);
    Ok(())
}

/// Copies a file, or everything below a directory.
fn copy(cx: &mut Cx, from: &Path, to: &Path, progress: &Progress) -> std::io::Result<()> {
    if !fs::metadata(cx, from)?.is_dir() {
        return copy_file(cx, from, to, progress);
    }
    fs::create_dir_all(cx, to)?;
    let slots = Semaphore::new(FILES_AT_ONCE);
    cx.nursery(|cx, n| -> std::io::Result<()> {
        let mut walk = fs::walk(from);
        while let Some(entry) = walk.next(cx)? {
            let target = to.join(entry.path().strip_prefix(from).map_err(std::io::Error::other)?);
            if entry.file_type().is_dir() {
                fs::create_dir_all(cx, &target)?;
                progress.directories.fetch_add(1, Relaxed);
            } else if entry.file_type().is_symlink() {
                let says = fs::read_link(cx, entry.path())?;
                fs::symlink(cx, says, &target)?;
                progress.links.fetch_add(1, Relaxed);
            } else {
                let slot = slots.acquire(cx)?; // waits while enough files are under way
                n.spawn(move |cx| {
                    let _slot = slot;
                    copy_file(cx, entry.path(), &target, progress)
                });
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn copy_and_show(cx: &mut Cx, from: &Path, to: &Path) -> std::io::Result<()> {
    let progress = Progress::default();
    cx.nursery(|cx, n| -> std::io::Result<()> {
        let bar = n.spawn(|cx| -> std::io::Result<()> {
            loop {
                let (done, files) = (progress.bytes_done.load(Relaxed), &progress.files);
                let part = (40 * done).checked_div(progress.bytes_found.load(Relaxed)).unwrap_or(0);
                eprint!("\r[{:40}] {files:?} files", "#".repeat(part.min(40) as usize));
                cx.sleep(Duration::from_millis(100))?;
            }
        });
        copy(cx, from, to, &progress)?;
        bar.cancel();
        Ok(())
    })?;
    let Progress { files, directories, links, .. } = progress;
    println!("\n{files:?} files, {directories:?} directories and {links:?} link copied");
    Ok(())
}

/// A tree to show it with.
fn demonstrate(cx: &mut Cx) -> std::io::Result<()> {
    let folder = TempDir::new(cx)?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    for number in 0..40_u8 {
        let directory = from.join(format!("directory {}", number % 5));
        fs::create_dir_all(cx, &directory)?;
        let mut file = File::create(cx, directory.join(number.to_string()))?;
        file.write_all(cx, &vec![number; usize::from(number) * 100_000])?;
    }
    fs::write(cx, from.join("read me"), "hello")?;
    fs::symlink(cx, "read me", from.join("link"))?;
    copy_and_show(cx, &from, &to)?;
    let mut walk = fs::walk(&from).follow_links(true);
    while let Some(entry) = walk.next(cx)? {
        let copy = to.join(entry.path().strip_prefix(&from).map_err(std::io::Error::other)?);
        assert!(entry.file_type().is_dir() || fs::read(cx, entry.path())? == fs::read(cx, copy)?);
    }
    println!("and they are equal");
    Ok(())
}

fn main() -> std::io::Result<()> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let done = conbrio::run(|cx| {
        cancel_on_ctrl_c(cx, |cx| match &paths[..] {
            [from, to] => copy_and_show(cx, Path::new(from), Path::new(to)),
            _ => demonstrate(cx),
        })
    })?;
    if done.is_none() {
        eprintln!("\nstopped; what is there is complete");
    }
    Ok(())
}
