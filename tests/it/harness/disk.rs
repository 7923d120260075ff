//! A disk that can be full: a small file system in memory where we may mount one; elsewhere a limit on the size of
//! the files a process writes, which SQLite meets in the same place.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Result, ensure};
use tempfile::TempDir;

/// Unmounts when its input ends, which it does however the test process goes.
const GUARD: &str = r#"while read -r _; do :; done; umount -l "$1""#;

pub(crate) struct SmallDisk {
    folder: TempDir,
    /// Absent where nothing could be mounted.
    guard: Option<Child>,
}

impl SmallDisk {
    pub(crate) fn new(megabytes: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        let guard = match mounted {
            Ok(output) if output.status.success() => {
                let mut guard = Command::new("sh");
                guard.args(["-c", GUARD, "guard"]).arg(folder.path()).stdin(Stdio::piped());
                Some(guard.spawn()?)
            }
            _ => None,
        };
        Ok(Self { folder, guard })
    }

    /// Without a file system of its own, as where none can be mounted.
    pub(crate) fn limited() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, guard: None })
    }

    /// Whether it is a file system of its own.
    pub(crate) fn is_own(&self) -> bool {
        self.guard.is_some()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// From now on nothing more can be written by this process: there is no room.
    pub(crate) fn fill(&self, process: u32) -> Result<()> {
        if self.guard.is_none() {
            return limit(process, "4096");
        }
        let mut ballast = File::create(self.ballast())?;
        for size in [1 << 20, 4096] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    /// There is room again.
    pub(crate) fn free(&self, process: u32) -> Result<()> {
        if self.guard.is_none() {
            return limit(process, "unlimited");
        }
        Ok(std::fs::remove_file(self.ballast())?)
    }
}

/// The program must have been started with SIGXFSZ ignored, or this kills it.
fn limit(process: u32, size: &str) -> Result<()> {
    let arguments = ["--pid", &process.to_string(), &format!("--fsize={size}:unlimited")];
    let status = Command::new("prlimit").args(arguments).status()?;
    ensure!(status.success(), "prlimit (of util-linux) is needed where no tmpfs can be mounted: {status}");
    Ok(())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}
