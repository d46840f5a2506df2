//! A small disk in memory, which can be full.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Disk {
    folder: PathBuf,
    is_small: bool,
}

impl Disk {
    /// Mounts a disk of 4 MiB, or says that it is not allowed to.
    pub(crate) fn mount() -> io::Result<Disk> {
        let folder = std::env::temp_dir().join(format!("conbrio-soak-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        let is_small = mounted.is_ok_and(|status| status.success());
        if !is_small {
            println!("soak: SKIPPED: the full disk, which needs the right to mount one");
        }
        Ok(Disk { folder, is_small })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn is_small(&self) -> bool {
        self.is_small
    }

    /// Takes all of its room.
    pub(crate) fn fill(&self) {
        let _ = fs::write(self.filler(), vec![0; 8 << 20]);
    }

    /// Gives it back.
    pub(crate) fn clear(&self) {
        let _ = fs::remove_file(self.filler());
    }

    pub(crate) fn unmount(&self) {
        if self.is_small {
            let _ = Command::new("umount").arg(&self.folder).status();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.folder.exists() {
            self.unmount();
        }
    }
}
