//! Whole files, replaced for good.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Replaces a file at once and for good: whoever reads it sees the old bytes or the new ones, also after a crash.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = draft(path);
    let file = File::create(&new)?;
    put(path, &new, file, bytes)
}

/// The same, for bytes that nobody but this user may read, at no moment.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = draft(path);
    // What a crash left there may have another mode.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&new)?;
    put(path, &new, file, bytes)
}

fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn put(path: &Path, new: &Path, mut file: File, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        // Where a folder cannot be opened or synced, the rename is as durable as the system makes it.
        .or(Ok(()))
}
