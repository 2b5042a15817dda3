//! Secrets in files: the master key, and the root key as it is shown once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tongguan_service::keyring::RootKey;
use tongguan_service::vault::{MASTER_KEY_BYTES, Vault};
use zeroize::Zeroizing;

/// Master key inside a data directory.
pub const MASTER_KEY_FILE: &str = "master.key";
/// Root key inside a data directory, in a form that a shell can source.
const ROOT_KEY_FILE: &str = "root-access-key.env";
/// Owner only.
const OWNER_ONLY: u32 = 0o600;

/// Opens the vault: reads the master key, or makes one if the data directory is new.
pub fn vault(data_dir: &Path, given: Option<&Path>, new: bool) -> anyhow::Result<Vault> {
    let path = given.map_or_else(|| data_dir.join(MASTER_KEY_FILE), Path::to_path_buf);
    if !path.exists() {
        if !new {
            bail!(
                "the master key `{}` is missing: put it back; without it the secrets in the database do not open",
                path.display()
            );
        }
        let mut key = Zeroizing::new([0; MASTER_KEY_BYTES]);
        getrandom::fill(key.as_mut()).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let text = Zeroizing::new(format!("{}\n", hex::encode(key.as_ref())));
        write_owner_only(&path, &text)?;
    }
    let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("`{}` can be read by others (mode {mode:o}): chmod 600 it", path.display());
    }
    let text = Zeroizing::new(
        std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?,
    );
    let mut key = Zeroizing::new([0; MASTER_KEY_BYTES]);
    hex::decode_to_slice(text.trim(), key.as_mut())
        .map_err(|_| anyhow::anyhow!("`{}` does not hold 64 hex digits", path.display()))?;
    Ok(Vault::new(&key)?)
}

/// Writes the root key where only its owner can read it; answers where.
pub fn write_root_key(data_dir: &Path, key: &RootKey) -> anyhow::Result<PathBuf> {
    let path = data_dir.join(ROOT_KEY_FILE);
    let text = Zeroizing::new(format!(
        "ALIBABA_CLOUD_ACCOUNT_ID={}\nALIBABA_CLOUD_ACCESS_KEY_ID={}\nALIBABA_CLOUD_ACCESS_KEY_SECRET={}\n",
        key.account,
        key.id,
        key.secret.expose()
    ));
    write_owner_only(&path, &text)?;
    Ok(path)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_owner_only(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let failed = || format!("cannot write `{}`", path.display());
    if part.exists() {
        std::fs::remove_file(&part).with_context(failed)?;
    }
    let mut file: File =
        OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&part).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    std::fs::rename(&part, path).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_key_is_made_once_and_kept_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let sealed = vault(directory.path(), None, true).unwrap().seal("x", b"secret").unwrap();
        let again = vault(directory.path(), None, false).unwrap();
        assert_eq!(again.open("x", &sealed).unwrap().as_slice(), b"secret");
        let path = directory.path().join(MASTER_KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(vault(directory.path(), None, false).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(vault(directory.path(), None, false).unwrap_err().to_string().contains("missing"));
    }
}
