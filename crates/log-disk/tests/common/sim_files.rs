//! A file system in memory that can lose power: of what was not synced, each sector is there afterwards or not, by chance;
//! so is each creation, rename or removal in a directory that was not synced. It can also refuse.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tidewire_log::conformance::Rng;
use tidewire_log_disk::files::{File, Files, LockError};

const SECTOR: usize = 512;

/// The file system. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct SimFiles(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    faults: Faults,
}

#[derive(Clone, Default)]
struct Node {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Writes of segments fail like this, after half of their bytes.
    pub(crate) write: Option<io::ErrorKind>,
    /// Syncs fail like this.
    pub(crate) sync: Option<io::ErrorKind>,
    /// Reservations fail like this.
    pub(crate) allocate: Option<io::ErrorKind>,
    /// Reads fail like this.
    pub(crate) read: Option<io::ErrorKind>,
}

impl SimFiles {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// What a process that is killed leaves: everything written.
    pub(crate) fn killed(&self) -> Self {
        let world = self.world();
        Self(Arc::new(Mutex::new(World {
            nodes: world.nodes.clone(),
            names: world.names.clone(),
            durable_names: world.durable_names.clone(),
            faults: Faults::default(),
        })))
    }

    /// What is left when the power fails now.
    pub(crate) fn without_power(&self, rng: &mut Rng) -> Self {
        let world = self.world();
        let mut names = world.durable_names.clone();
        for (path, node) in &world.names {
            if rng.once_in(2) {
                names.insert(path.clone(), *node);
            }
        }
        // A name that is gone now may be gone or not.
        let gone: Vec<_> = names
            .keys()
            .filter(|path| !world.names.contains_key(*path))
            .cloned()
            .collect();
        for path in gone {
            if rng.once_in(2) {
                names.remove(&path);
            }
        }
        let nodes: Vec<_> = world
            .nodes
            .iter()
            .map(|node| node.without_power(rng))
            .collect();
        Self(Arc::new(Mutex::new(World {
            nodes,
            durable_names: names.clone(),
            names,
            faults: Faults::default(),
        })))
    }

    /// The files' names, in order.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.world().names.keys().cloned().collect()
    }

    /// A file's bytes, to look at or to damage.
    pub(crate) fn edit<T>(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut world = self.world();
        let node = world.names[path];
        let node = &mut world.nodes[node];
        let done = edit(&mut node.bytes);
        node.durable = node.bytes.clone();
        done
    }
}

impl Node {
    fn without_power(&self, rng: &mut Rng) -> Self {
        let mut bytes = self.durable.clone();
        if bytes.len() != self.bytes.len() && rng.once_in(2) {
            bytes.resize(self.bytes.len(), 0);
        }
        // All, none, or some of what was on its way.
        let odds = *rng.pick(&[0, 1, 2, 4]);
        for sector in &self.dirty {
            let end = ((sector + 1) * SECTOR)
                .min(bytes.len())
                .min(self.bytes.len());
            let range = sector * SECTOR..end.max(sector * SECTOR);
            if odds > 0 && rng.once_in(odds) && !range.is_empty() {
                bytes[range.clone()].copy_from_slice(&self.bytes[range]);
            }
        }
        Self {
            durable: bytes.clone(),
            bytes,
            dirty: BTreeSet::new(),
        }
    }

    fn touch(&mut self, offset: usize, end: usize) {
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }
}

impl std::fmt::Debug for SimFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimFiles")
    }
}

fn refuse(fault: Option<io::ErrorKind>) -> io::Result<()> {
    fault.map_or(Ok(()), |kind| Err(kind.into()))
}

impl Files for SimFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut world = self.world();
        let node = world.nodes.len();
        world.nodes.push(Node::default());
        world.names.insert(path.to_owned(), node);
        Ok(Box::new(SimFile {
            files: self.clone(),
            node,
        }))
    }

    fn open(&self, path: &Path, _: bool) -> io::Result<Box<dyn File>> {
        let node = *self
            .world()
            .names
            .get(path)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile {
            files: self.clone(),
            node,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        let node = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.world().names.remove(path);
        removed.map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        refuse(world.faults.sync)?;
        let inside = |path: &Path| path.parent() == Some(dir);
        world.durable_names.retain(|path, _| !inside(path));
        let now: Vec<_> = world
            .names
            .iter()
            .filter(|(path, _)| inside(path))
            .map(|(p, n)| (p.clone(), *n))
            .collect();
        world.durable_names.extend(now);
        Ok(())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect())
    }

    fn lock(&self, _: &Path) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        Ok(Box::new(()))
    }
}

struct SimFile {
    files: SimFiles,
    node: usize,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Node, &Faults) -> T) -> T {
        let mut world = self.files.world();
        let faults = world.faults.clone();
        act(&mut world.nodes[self.node], &faults)
    }

    fn put(&self, buf: &[u8], offset: usize) {
        self.with(|node, _| {
            let end = offset + buf.len();
            if node.bytes.len() < end {
                node.bytes.resize(end, 0);
            }
            node.bytes[offset..end].copy_from_slice(buf);
            node.touch(offset, end);
        });
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|node, _| node.bytes.len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|node, faults| {
            refuse(faults.read)?;
            let rest = node.bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buf.len());
            buf[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let fault = self.with(|_, faults| faults.write);
        let taken = if fault.is_some() {
            buf.len() / 2
        } else {
            buf.len()
        };
        self.put(&buf[..taken], offset as usize);
        refuse(fault)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|node, _| {
            let before = node.bytes.len();
            node.bytes.resize(len as usize, 0);
            node.touch(before.min(len as usize), before.max(len as usize));
        });
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        refuse(self.with(|_, faults| faults.allocate))?;
        let now = self.len()?;
        if now < len { self.set_len(len) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|node, faults| {
            refuse(faults.sync)?;
            node.durable.resize(node.bytes.len(), 0);
            for sector in std::mem::take(&mut node.dirty) {
                let end = ((sector + 1) * SECTOR).min(node.bytes.len());
                let range = (sector * SECTOR).min(end)..end;
                node.durable[range.clone()].copy_from_slice(&node.bytes[range]);
            }
            Ok(())
        })
    }
}
