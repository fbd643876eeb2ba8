//! Whole files, replaced for good.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Replaces a file at once and for good: whoever reads it sees the old bytes or the new ones, also after a crash.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = File::create(&new)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        // Where a folder cannot be opened or synced, the rename is as durable as the system makes it.
        .or(Ok(()))
}
