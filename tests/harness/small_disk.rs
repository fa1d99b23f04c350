//! A file system of a few megabytes, to be filled; needs the right to mount one.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{folder, output, required};

pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of so many mebibytes.
    pub(crate) fn mount(mebibytes: usize) -> Option<Self> {
        let folder = folder();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tidegate-test"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        let why = "this user may not mount one; root may".to_owned();
        required("a small file system", if mounted { Ok(Self(folder)) } else { Err(why) })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it but for so many bytes.
    pub(crate) fn fill_but(&self, room: usize) {
        let df = output(Command::new("df").args(["--output=avail", "-B1"]).arg(self.path()));
        let said = String::from_utf8(df.stdout).expect("text");
        let free: usize = said.lines().nth(1).expect("its line").trim().parse().expect("a number");
        // It may be full already, of what is being written to it.
        let ballast = vec![0_u8; free.saturating_sub(room)];
        if let Err(error) = std::fs::write(self.ballast(), ballast) {
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        }
    }

    /// Ends [`SmallDisk::fill_but`].
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.ballast()).expect("it was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.path().display());
        }
    }
}
