//! Files that are put in their place whole: whoever reads one sees the old text or the new one, also after a loss of
//! power, and never a part.

use std::fs::File;
use std::io;
use std::path::Path;

/// What is added to the name of a file while it is written.
pub(crate) const PART: &str = ".part";

/// Writes a file for its owner alone beside its place, makes it durable and renames it into place. A link in its place
/// is replaced and not followed; what a writer that died has left beside it is removed. Answers the file, open.
///
/// # Errors
/// It cannot be written or renamed, and then nothing is left of it; or the directory cannot be made durable, and then
/// the new file is in place.
pub fn put(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<File> {
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
    let directory = directory_of(path);
    let mut part = name.to_owned();
    part.push(PART);
    match std::fs::remove_file(directory.join(&part)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Of a name that is known as ours in a data directory, so that one that a dead writer has left is not in the way.
    let mut new = tempfile::Builder::new().prefix(&part).rand_bytes(0).tempfile_in(directory)?;
    write(new.as_file_mut())?;
    new.as_file().sync_all()?;
    let file = new.persist(path)?;
    sync_directory(path)?;
    Ok(file)
}

/// Makes the name of a file durable, or that it is gone.
///
/// # Errors
/// The directory cannot be opened, or not be made durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_put_whole_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, part) = (directory.path().join("key"), directory.path().join("key.part"));
        let outside = directory.path().join("outside");
        std::fs::write(&outside, "theirs").unwrap();
        // What a dead writer has left, and a link in place: neither is written to.
        symlink(&outside, &part).unwrap();
        symlink(&outside, &path).unwrap();
        put(&path, |file| file.write_all(b"ours")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ours");
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "theirs");
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert!(metadata.is_file() && !part.exists());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_not_written_leaves_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        put(&path, |file| file.write_all(b"old")).unwrap();
        let failed = put(&path, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
