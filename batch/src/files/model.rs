//! A model of the worst file system POSIX allows, for the property tests.
//!
//! Content and names live in memory until synced; a crash keeps any part of the rest, in any
//! order; any call may fail with ENOSPC or EIO, and a failed publish may have taken effect. Each
//! process has its own [`ModelFiles`] on one shared disk, and can be killed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use rustix::io::Errno;

use super::{Entry, Files, NewFile, Stat};

/// One process's view of the disk.
pub(crate) struct ModelFiles {
    disk: Arc<Mutex<Disk>>,
    calls_left: Arc<AtomicU64>,
}

/// What all processes share, and what a crash leaves.
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    /// Names as processes see them.
    names: BTreeMap<PathBuf, Node>,
    /// Names that survive a crash.
    durable: BTreeMap<PathBuf, Node>,
    random: u64,
    /// One call in this many fails; 0 for none.
    fail_one_in: u64,
    fail_once: Option<FailOnce>,
}

/// One call fails that is chosen beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailOnce {
    /// Calls that come before it.
    pub(crate) after: u64,
    pub(crate) errno: Errno,
    /// A publish that fails has taken effect.
    pub(crate) takes_effect: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// A sync failed: what was written before can no longer be made durable.
    tainted: bool,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Arc<Mutex<Self>> {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Dir)]);
        Arc::new(Mutex::new(Self {
            inodes: Vec::new(),
            names: root.clone(),
            durable: root,
            random: seed | 1,
            fail_one_in: 0,
            fail_once: None,
        }))
    }

    pub(crate) fn set_faults(&mut self, one_in: u64) {
        self.fail_one_in = one_in;
    }

    /// Lets one call fail, from now on.
    pub(crate) fn fail_once(&mut self, fault: FailOnce) {
        self.fail_once = Some(fault);
    }

    /// Whether that call is still to come.
    pub(crate) fn is_to_fail(&self) -> bool {
        self.fail_once.is_some()
    }

    /// The machine stops: each unsynced name and each file's unsynced end is kept or lost by
    /// chance. A lost directory takes everything below it along.
    pub(crate) fn crash(&mut self) {
        let changed: BTreeSet<PathBuf> =
            self.names.keys().chain(self.durable.keys()).cloned().collect();
        for path in changed {
            let (seen, kept) = (self.names.get(&path).copied(), self.durable.get(&path).copied());
            if seen != kept && self.chance(2) {
                match seen {
                    Some(node) => self.durable.insert(path, node),
                    None => self.durable.remove(&path),
                };
            }
        }
        let have: BTreeSet<PathBuf> = self.durable.keys().cloned().collect();
        self.durable.retain(|path, _| path.ancestors().skip(1).all(|dir| have.contains(dir)));
        self.names = self.durable.clone();
        for at in 0..self.inodes.len() {
            let lost = self.inodes[at].content != self.inodes[at].durable;
            let (torn, kept) = (self.next(), self.inodes[at].durable.len());
            let inode = &mut self.inodes[at];
            if lost {
                let room = inode.content.len().saturating_sub(kept) as u64;
                let end = kept + torn.checked_rem(room + 1).unwrap_or(0) as usize;
                inode.content.truncate(end.min(inode.content.len()));
                let keep = inode.durable.len();
                // Blocks were allocated and not written.
                inode.content[keep..].iter_mut().step_by(3).for_each(|byte| *byte = 0);
            }
            inode.durable.clone_from(&inode.content);
        }
    }

    /// Paths of files, sorted, with their contents.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let content = |node: &Node| match node {
            Node::File(at) => Some(self.inodes[*at].content.clone()),
            Node::Dir => None,
        };
        self.names.iter().filter_map(|(path, node)| Some((path.clone(), content(node)?))).collect()
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn chance(&mut self, one_in: u64) -> bool {
        one_in > 0 && (self.next() >> 20).is_multiple_of(one_in)
    }

    fn fault(&mut self) -> io::Result<()> {
        self.failure().map_or(Ok(()), |(errno, _)| Err(errno.into()))
    }

    /// How this call fails, if it does, and whether it takes effect all the same.
    fn failure(&mut self) -> Option<(Errno, bool)> {
        if let Some(fault) = &mut self.fail_once {
            if let Some(after) = fault.after.checked_sub(1) {
                fault.after = after;
            } else {
                return self.fail_once.take().map(|fault| (fault.errno, fault.takes_effect));
            }
        }
        if !self.chance(self.fail_one_in) {
            return None;
        }
        let errno = if self.chance(2) { Errno::NOSPC } else { Errno::IO };
        Some((errno, self.chance(2)))
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().ok_or(io::ErrorKind::NotFound)?;
        match self.names.get(parent) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<()> {
        self.parent_exists(path)?;
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.names.insert(path.to_path_buf(), node);
        Ok(())
    }

    fn content(&self, path: &Path) -> io::Result<&[u8]> {
        match self.names.get(path) {
            Some(Node::File(at)) => Ok(&self.inodes[*at].content),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl ModelFiles {
    pub(crate) fn new(disk: &Arc<Mutex<Disk>>) -> Self {
        Self { disk: disk.clone(), calls_left: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// How many more calls this process makes before it is killed, to be set by the test; none of
    /// the calls after that has any effect.
    pub(crate) fn calls_left(&self) -> Arc<AtomicU64> {
        self.calls_left.clone()
    }
}

fn enter<'d>(disk: &'d Mutex<Disk>, calls_left: &AtomicU64) -> io::Result<MutexGuard<'d, Disk>> {
    let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
    if calls_left.fetch_update(set, get, |left| left.checked_sub(1)).is_err() {
        return Err(io::Error::other("this process was killed"));
    }
    Ok(disk.lock().unwrap())
}

impl Files for ModelFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        let inode = disk.inodes.len();
        disk.add(path, Node::File(inode))?;
        disk.inodes.push(Inode::default());
        Ok(Box::new(ModelFile {
            disk: self.disk.clone(),
            calls_left: self.calls_left.clone(),
            inode,
        }))
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        let failure = disk.failure();
        let failed = failure.map_or(Ok(()), |(errno, _)| Err(errno.into()));
        if let Some((_, false)) = failure {
            return failed;
        }
        let node = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.add(to, node)?;
        disk.names.remove(from);
        failed
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        let node = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_path_buf(), node);
        disk.names.remove(from);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        if disk.names.get(dir) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = |path: &PathBuf| path.parent() == Some(dir);
        let disk = &mut *disk;
        disk.durable.retain(|path, _| !inside(path));
        let synced = disk.names.iter().filter(|(path, _)| inside(path));
        disk.durable.extend(synced.map(|(path, node)| (path.clone(), *node)));
        Ok(())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        disk.add(dir, Node::Dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        if disk.names.get(dir) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let entry = |path| Entry { name: name(path), modified: SystemTime::UNIX_EPOCH };
        Ok(inside.map(entry).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        disk.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        Ok(Stat { bytes: disk.content(path)?.len() as u64, modified: SystemTime::UNIX_EPOCH })
    }

    fn read(&self, path: &Path, start: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        disk.fault()?;
        let content = disk.content(path)?.get(start as usize..start as usize + len);
        content.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

struct ModelFile {
    disk: Arc<Mutex<Disk>>,
    calls_left: Arc<AtomicU64>,
    inode: usize,
}

impl Write for ModelFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        let fault = disk.fault();
        let taken = if fault.is_err() { bytes.len() / 2 } else { bytes.len() };
        disk.inodes[self.inode].content.extend_from_slice(&bytes[..taken]);
        fault.map(|()| taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for ModelFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = enter(&self.disk, &self.calls_left)?;
        let fault = disk.fault();
        let inode = &mut disk.inodes[self.inode];
        inode.tainted |= fault.is_err();
        if !inode.tainted {
            inode.durable.clone_from(&inode.content);
        }
        fault
    }
}
