//! The master key: where it comes from, and how its file is created, kept and replaced; and the root key, which is
//! shown once.
//!
//! # Replacing the key file
//!
//! `tongguan master-key rotate` writes the new key to [`NEXT_KEY_FILE`], encrypts every value again in one
//! transaction, and renames the file over [`MASTER_KEY_FILE`]. Whenever the process dies, the database opens with
//! exactly one of the files that exist; [`open`] finds out which, and completes or drops the rotation.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use tongguan_service::keyring::RootKey;
use tongguan_service::master::{self, Fit};
use tongguan_service::vault::Vault;
use tongguan_store::{Archive, Store, StoreError, put, sync_directory};
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::master_key::{MasterKey, VARIABLE};
use crate::permissions::{MASTER_KEY_FILE, NEXT_KEY_FILE, ROOT_KEY_FILE};
use crate::{exit, key_command};

/// Where the master key comes from.
#[derive(Debug, Clone, Default)]
pub(crate) enum KeySource {
    /// The file in the data directory, made at the first start.
    #[default]
    DataDirectory,
    /// A file elsewhere, made if nothing is sealed yet.
    File(PathBuf),
    /// The standard output of a command: program and arguments.
    Command(Vec<String>),
    /// The environment.
    Given(MasterKey),
}

/// Where the master key comes from, on the command line.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct KeyArgs {
    /// File with the master key that encrypts secrets at rest [default: master.key in the data directory]
    #[arg(long, env = "TONGGUAN_MASTER_KEY_FILE", value_name = "FILE", global = true)]
    pub master_key_file: Option<PathBuf>,
    /// Command whose standard output is the master key; split at spaces, run without a shell. The key itself can be in
    /// TONGGUAN_MASTER_KEY
    #[arg(long, env = "TONGGUAN_MASTER_KEY_COMMAND", value_name = "COMMAND", global = true)]
    pub master_key_command: Option<String>,
}

impl KeyArgs {
    /// The one source that command line and environment name, or none.
    pub(crate) fn source(&self) -> Result<Option<KeySource>> {
        let command = self.master_key_command.as_deref();
        let command = command.map(|text| text.split_whitespace().map(str::to_owned).collect());
        let given = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(Zeroizing::new);
        let given = given.map(|text| MasterKey::parse(&text, VARIABLE)).transpose();
        given
            .and_then(|given| one_source(self.master_key_file.clone(), command, given))
            .context(exit::Configuration)
    }
}

/// The source, if at most one is named.
pub(crate) fn one_source(
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
    given: Option<MasterKey>,
) -> Result<Option<KeySource>> {
    match (file, command, given) {
        (None, None, None) => Ok(None),
        (Some(file), None, None) => Ok(Some(KeySource::File(file))),
        (None, Some(command), None) if command.is_empty() => bail!("master_key_command is empty"),
        (None, Some(command), None) => Ok(Some(KeySource::Command(command))),
        (None, None, Some(key)) => Ok(Some(KeySource::Given(key))),
        _ => bail!("give one of master_key_file, master_key_command and {VARIABLE}: there is one master key"),
    }
}

impl KeySource {
    /// The file in the data directory, whether it was named or not.
    pub(crate) fn in_data_directory(self, data_dir: &Path) -> Self {
        let own = data_dir.join(MASTER_KEY_FILE);
        match self {
            Self::File(path) if path == own || same_file(&path, &own) => Self::DataDirectory,
            other => other,
        }
    }

    /// The key, which is somewhere else than in the data directory; none if its file does not exist.
    fn elsewhere(&self) -> Result<Option<MasterKey>> {
        match self {
            Self::DataDirectory => Ok(None),
            Self::File(path) if !path.exists() => Ok(None),
            Self::File(path) => MasterKey::read(path).map(Some),
            Self::Command(command) => key_command::run(command).map(Some),
            Self::Given(key) => Ok(Some(key.clone())),
        }
    }

    /// For messages.
    fn shown(&self, data_dir: &Path) -> String {
        match self {
            Self::DataDirectory => format!("`{}`", data_dir.join(MASTER_KEY_FILE).display()),
            Self::File(path) => format!("`{}`", path.display()),
            Self::Command(command) => format!("the output of `{}`", command[0]),
            Self::Given(_) => format!("the value of {VARIABLE}"),
        }
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The master key of a store that this process holds: found, or made if nothing is sealed yet. A rotation that was cut
/// short is ended or dropped. A key under which the database does not open is refused; nothing is overwritten.
pub(crate) fn open(data_dir: &Path, source: &KeySource, store: &Store) -> Result<MasterKey> {
    let source = source.clone().in_data_directory(data_dir);
    let fit = |key: &MasterKey| -> Result<Fit> {
        let vault = key.vault()?;
        Ok(store.read(|snapshot| master::fit(snapshot, &vault))?)
    };
    let found = match &source {
        KeySource::DataDirectory => settle(data_dir, &fit)?,
        elsewhere => elsewhere.elsewhere().context(exit::Configuration)?,
    };
    if let Some(key) = found {
        return match fit(&key)? {
            Fit::Fits | Fit::NothingSealed => Ok(key),
            Fit::Other => Err(other_key(&source.shown(data_dir))),
        };
    }
    let key = MasterKey::generate()?;
    if fit(&key)? != Fit::NothingSealed {
        return Err(anyhow!(
            "the master key {} is missing: put it back; without it the secrets in the database do not open",
            source.shown(data_dir)
        )
        .context(exit::Configuration));
    }
    let own = data_dir.join(MASTER_KEY_FILE);
    let path = if let KeySource::File(path) = &source { path } else { &own };
    write_owner_only(path, &key.text())?;
    Ok(key)
}

/// Looks once more whether the master key is that of a shared database, when this process has a place to write at:
/// nobody changes the key from then on.
pub(crate) fn still_fits(store: &Store, vault: &Vault) -> Result<()> {
    match store.read(|snapshot| master::fit(snapshot, vault))? {
        Fit::Fits | Fit::NothingSealed => Ok(()),
        Fit::Other => Err(StoreError::KeyChanged.into()),
    }
}

/// What is said of a key that is not the database's.
pub(crate) fn other_key(shown: &str) -> anyhow::Error {
    anyhow!(
        "{shown} is not the master key of this database: the secrets in it were sealed under another one. Nothing was \
         changed; give the right key, or restore a backup that belongs to this one"
    )
    .context(exit::Configuration)
}

/// The key in the data directory, after the end of a rotation that was cut short; none if there is none.
fn settle(data_dir: &Path, fit: &dyn Fn(&MasterKey) -> Result<Fit>) -> Result<Option<MasterKey>> {
    let (own, next) = (data_dir.join(MASTER_KEY_FILE), data_dir.join(NEXT_KEY_FILE));
    let current = own.exists().then(|| MasterKey::read(&own)).transpose()?;
    if !next.exists() {
        return Ok(current);
    }
    if let Some(key) = &current
        && fit(key)? != Fit::Other
    {
        std::fs::remove_file(&next)
            .and_then(|()| sync_directory(&next))
            .with_context(|| format!("cannot remove `{}`", next.display()))?;
        warn!("a rotation of the master key was cut short before it took effect; the key is the old one");
        return Ok(current);
    }
    let key = MasterKey::read(&next)?;
    if fit(&key)? == Fit::Other {
        return Ok(current.or(Some(key)));
    }
    replace(data_dir)?;
    info!("a rotation of the master key that was cut short is ended; the key is the new one");
    Ok(Some(key))
}

/// Writes the key that is to take the place of the one in the data directory.
pub(crate) fn prepare(data_dir: &Path, key: &MasterKey) -> Result<()> {
    write_owner_only(&data_dir.join(NEXT_KEY_FILE), &key.text())
}

/// Gives up what was prepared.
pub(crate) fn abandon(data_dir: &Path) -> Result<()> {
    let next = data_dir.join(NEXT_KEY_FILE);
    std::fs::remove_file(&next).with_context(|| format!("cannot remove `{}`", next.display()))
}

/// Puts the prepared key in the place of the other, durably.
pub(crate) fn replace(data_dir: &Path) -> Result<()> {
    let (own, next) = (data_dir.join(MASTER_KEY_FILE), data_dir.join(NEXT_KEY_FILE));
    std::fs::rename(&next, &own)
        .and_then(|()| sync_directory(&own))
        .with_context(|| format!("cannot rename `{}` to `{}`", next.display(), own.display()))
}

/// The vault of a database that is only read, if there is a master key for it. With `only_given` the data
/// directory is not looked into. No file is changed.
pub(crate) fn look(
    data_dir: &Path,
    keys: &KeyArgs,
    only_given: bool,
    archive: &Archive,
) -> Result<Option<Vault>> {
    let source = match keys.source()? {
        None if only_given => return Ok(None),
        None => KeySource::DataDirectory,
        Some(source) => source,
    };
    if let KeySource::DataDirectory = source {
        let files = [MASTER_KEY_FILE, NEXT_KEY_FILE].map(|name| data_dir.join(name));
        let mut first = None;
        for path in files.iter().filter(|path| path.exists()) {
            let vault = MasterKey::read(path)?.vault()?;
            let fits =
                !archive.current() || archive.read(|snapshot| master::fit(snapshot, &vault))? != Fit::Other;
            if fits {
                return Ok(Some(vault));
            }
            first.get_or_insert(vault);
        }
        return Ok(first);
    }
    let key = source.elsewhere()?.with_context(|| format!("there is no {}", source.shown(data_dir)))?;
    key.vault().map(Some)
}

/// Writes the root key where only its owner can read it; answers where.
pub(crate) fn write_root_key(data_dir: &Path, key: &RootKey) -> Result<PathBuf> {
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

/// Writes a file that only its owner can read, whole or not at all, and durably.
fn write_owner_only(path: &Path, text: &str) -> Result<()> {
    let written = put(path, |file| file.write_all(text.as_bytes()));
    written.map(drop).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tongguan_store::Options;

    use super::*;

    fn seal_something(store: &Store, key: &MasterKey) {
        master::remember(store, &key.vault().unwrap(), 1).unwrap();
    }

    #[test]
    fn the_master_key_is_made_once_and_kept_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let store = Store::open(data, &Options::default()).unwrap();
        let source = KeySource::DataDirectory;
        let key = open(data, &source, &store).unwrap();
        seal_something(&store, &key);
        let path = data.join(MASTER_KEY_FILE);
        assert!(open(data, &source, &store).unwrap().is(&key));
        assert!(open(data, &KeySource::File(path.clone()), &store).unwrap().is(&key));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open(data, &source, &store).unwrap_err().to_string().contains("chmod 600"));
        std::fs::remove_file(&path).unwrap();
        assert!(format!("{:#}", open(data, &source, &store).unwrap_err()).contains("missing"));
        assert!(!path.exists());
        let other = KeySource::Given(MasterKey::generate().unwrap());
        assert!(format!("{:#}", open(data, &other, &store).unwrap_err()).contains("not the master key"));
    }

    #[test]
    fn a_rotation_cut_short_is_ended_or_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let store = Store::open(data, &Options::default()).unwrap();
        let source = KeySource::DataDirectory;
        let (old, new) = (open(data, &source, &store).unwrap(), MasterKey::generate().unwrap());
        seal_something(&store, &old);
        prepare(data, &new).unwrap();
        assert!(open(data, &source, &store).unwrap().is(&old));
        assert!(!data.join(NEXT_KEY_FILE).exists());

        prepare(data, &new).unwrap();
        master::reseal(&store, old.vault().unwrap(), new.vault().unwrap(), 1).unwrap();
        assert!(open(data, &source, &store).unwrap().is(&new));
        assert!(!data.join(NEXT_KEY_FILE).exists());
        assert!(open(data, &source, &store).unwrap().is(&new));

        // Neither fits: both stay.
        for name in [MASTER_KEY_FILE, NEXT_KEY_FILE] {
            write_owner_only(&data.join(name), &MasterKey::generate().unwrap().text()).unwrap();
        }
        assert!(open(data, &source, &store).is_err());
        assert!(data.join(MASTER_KEY_FILE).exists() && data.join(NEXT_KEY_FILE).exists());
    }

    #[test]
    fn a_key_is_hex_and_prints_nothing() {
        let text = "0123456789abcdef".repeat(4);
        let key = MasterKey::parse(&format!(" {text}\n"), "x").unwrap();
        assert_eq!(*key.text(), format!("{text}\n"));
        for shown in [format!("{key:?}"), format!("{:?}", KeySource::Given(key))] {
            assert!(!shown.contains("0123") && shown.contains("***"), "{shown}");
        }
        for wrong in ["", &text[1..], &text.replace('0', "z"), &format!("{text}00")] {
            let said = MasterKey::parse(wrong, "the file").unwrap_err().to_string();
            assert_eq!(said, "the file does not hold 64 hex digits");
        }
        let file = Some(PathBuf::from("f"));
        assert!(one_source(file.clone(), Some(vec!["c".into()]), None).is_err());
        assert!(one_source(None, Some(Vec::new()), None).is_err());
        assert!(matches!(one_source(file, None, None), Ok(Some(KeySource::File(_)))));
    }
}
