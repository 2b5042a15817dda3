//! The key that a call is signed with.
//!
//! Secrets do not belong on command lines, where every process of the machine can read them. So they
//! come from where the vendor's tools take them, in this order:
//!
//! 1. the environment: `ALIBABA_CLOUD_ACCESS_KEY_ID` and the like, or the older `ALICLOUD_ACCESS_KEY`;
//! 2. the profile that the aliyun CLI keeps in `~/.aliyun/config.json`;
//! 3. the SDKs' credentials file, `~/.alibabacloud/credentials`.
//!
//! A profile named on the command line takes precedence over the environment. The
//! region comes along with the key, from the same profile or the environment, never from a profile
//! that was not used.
//!
//! A profile of the aliyun CLI names a key (modes `AK` and `StsToken`), where one comes from (`External`,
//! `CredentialsURI`), or a role to assume with one (`RamRoleArn`, `ChainableRamRoleArn`). What has to be asked for is
//! asked for by [`super::exchange`].
//!
//! An error never quotes the contents of a file, only its path and a line number.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tongguan_rpc::Secret;
use zeroize::Zeroizing;

use crate::config::GivenSecret;

/// The profile of either file when none is chosen.
const DEFAULT_PROFILE: &str = "default";

/// Variables of one vendor generation: access key id, secret, token.
const KEY_VARIABLES: [[&str; 3]; 2] = [
    ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"],
    ["ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"],
];

/// What a profile of the aliyun CLI may be.
const MODES: &str = "AK, StsToken, RamRoleArn, ChainableRamRoleArn, External and CredentialsURI";

const REGION_VARIABLES: [&str; 2] = ["ALIBABA_CLOUD_REGION_ID", "ALICLOUD_REGION"];

/// Profiles that are looked at on the way to a key: more of them go round in a circle.
const CHAIN: usize = 8;

/// An access key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its id.
    pub(crate) access_key_id: String,
    /// Its secret.
    pub(crate) secret: Secret,
    /// Token, if the key is a temporary one.
    pub(crate) security_token: Option<Secret>,
}

/// Where a key comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// It is there.
    Key(Key),
    /// A command prints a profile: program and arguments, run without a shell.
    Command(Vec<String>),
    /// It is answered at this address, which may hold a secret.
    Uri(Secret),
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    /// Its name.
    pub(crate) arn: String,
    /// What the session is to be called.
    pub(crate) session_name: String,
    /// How long it is to last, in seconds; none: as long as the service says.
    pub(crate) seconds: Option<u32>,
    /// What the role's trust policy may ask for.
    pub(crate) external_id: Option<String>,
}

/// What signs, and where it works.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// The key to begin with.
    pub(crate) source: Source,
    /// The roles to assume one after the other; the session in the last one signs.
    pub(crate) roles: Vec<Role>,
    /// Region of the environment or the profile.
    pub(crate) region: Option<String>,
}

impl Credentials {
    fn of_key(key: Key, region: Option<String>) -> Self {
        Self { source: Source::Key(key), roles: Vec::new(), region }
    }
}

/// Where to look: the process's environment, or a test's.
pub(crate) struct Sources<'a> {
    /// The value of an environment variable.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The user's home directory.
    pub(crate) home: Option<PathBuf>,
}

impl Sources<'static> {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        Self { variable: &|name| std::env::var(name).ok(), home: std::env::home_dir() }
    }
}

impl Sources<'_> {
    /// An empty variable counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn region(&self) -> Option<String> {
        REGION_VARIABLES.iter().find_map(|name| self.get(name))
    }

    fn aliyun_file(&self) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(".aliyun").join("config.json"))
    }

    fn credentials_file(&self) -> Option<PathBuf> {
        let default = || self.home.as_ref().map(|home| home.join(".alibabacloud").join("credentials"));
        self.get("ALIBABA_CLOUD_CREDENTIALS_FILE").map(PathBuf::from).or_else(default)
    }
}

/// Finds the key to sign with.
///
/// # Errors
/// When there is none, or the one that was chosen cannot be used.
pub(crate) fn load(sources: &Sources<'_>, named: Option<&str>) -> Result<Credentials> {
    if named.is_none()
        && let Some(found) = from_environment(sources)?
    {
        return Ok(found);
    }
    let chosen = named.map(str::to_owned).or_else(|| sources.get("ALIBABA_CLOUD_PROFILE"));
    let files = [sources.aliyun_file(), sources.credentials_file()];
    let [aliyun, ini] = &files;
    let mut found = match aliyun {
        Some(path) => from_aliyun(path, chosen.as_deref(), sources)?,
        None => None,
    };
    if let (None, Some(path)) = (&found, ini) {
        found = from_ini(path, chosen.as_deref().unwrap_or(DEFAULT_PROFILE))?;
    }
    let Some(mut found) = found else { bail!(nothing(chosen.as_deref(), &files)) };
    found.region = match named {
        Some(_) => found.region.or_else(|| sources.region()),
        None => sources.region().or(found.region),
    };
    Ok(found)
}

fn nothing(chosen: Option<&str>, files: &[Option<PathBuf>]) -> String {
    let files: Vec<_> = files.iter().flatten().map(|path| path.display().to_string()).collect();
    let files = if files.is_empty() { "any file: no home directory".to_owned() } else { files.join(" or ") };
    match chosen {
        Some(name) => format!("no profile {name:?} in {files}"),
        None => {
            let [[id, secret, _], _] = KEY_VARIABLES;
            format!("no credentials: set {id} and {secret}, or keep a profile in {files}")
        }
    }
}

fn from_environment(sources: &Sources<'_>) -> Result<Option<Credentials>> {
    for [id, secret, token] in KEY_VARIABLES {
        let (access_key_id, key) = match (sources.get(id), sources.get(secret)) {
            (None, None) => continue,
            (Some(_), None) => bail!("{id} is set and {secret} is not"),
            (None, Some(_)) => bail!("{secret} is set and {id} is not"),
            (Some(access_key_id), Some(key)) => (access_key_id, key),
        };
        let security_token = sources.get(token).map(Secret::from);
        let key = Key { access_key_id, secret: key.into(), security_token };
        return Ok(Some(Credentials::of_key(key, sources.region())));
    }
    Ok(None)
}

/// The text of a file, `None` if there is none. A byte order mark is dropped.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => Ok(Some(match text.strip_prefix('\u{feff}') {
            Some(rest) => Zeroizing::new(rest.to_owned()),
            None => text,
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// `~/.aliyun/config.json`.
#[derive(Deserialize)]
struct AliyunConfig {
    current: Option<String>,
    #[serde(default)]
    profiles: Vec<AliyunProfile>,
}

/// One of its profiles.
#[derive(Deserialize)]
struct AliyunProfile {
    #[serde(default)]
    name: String,
    mode: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<GivenSecret>,
    sts_token: Option<GivenSecret>,
    region_id: Option<String>,
    ram_role_arn: Option<String>,
    ram_session_name: Option<String>,
    expired_seconds: Option<u32>,
    external_id: Option<String>,
    source_profile: Option<String>,
    process_command: Option<String>,
    credentials_uri: Option<GivenSecret>,
}

fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

fn given_secret(value: Option<GivenSecret>) -> Option<Secret> {
    value.map(|GivenSecret(secret)| secret).filter(|secret| !secret.expose().is_empty())
}

impl AliyunProfile {
    fn is_bare(&self) -> bool {
        let secret = self.access_key_secret.as_ref().is_some_and(|secret| !secret.0.expose().is_empty());
        self.access_key_id.as_deref().unwrap_or_default().is_empty() && !secret
    }

    /// Its key, if it has one. `at` says where it stands.
    fn key(&mut self, at: &str, with_token: bool) -> Result<Key> {
        Ok(Key {
            access_key_id: given(self.access_key_id.take())
                .with_context(|| format!("{at} has no access_key_id"))?,
            secret: given_secret(self.access_key_secret.take())
                .with_context(|| format!("{at} has no access_key_secret"))?,
            security_token: if with_token { given_secret(self.sts_token.take()) } else { None },
        })
    }

    fn role(&self, at: &str) -> Result<Role> {
        Ok(Role {
            arn: given(self.ram_role_arn.clone()).with_context(|| format!("{at} has no ram_role_arn"))?,
            session_name: given(self.ram_session_name.clone())
                .with_context(|| format!("{at} has no ram_session_name"))?,
            seconds: self.expired_seconds.filter(|seconds| *seconds != 0),
            external_id: given(self.external_id.clone()),
        })
    }
}

/// The key that a command has printed: a profile with a key, and perhaps a role.
///
/// # Errors
/// It is something else. What was printed is not quoted.
pub(super) fn printed(text: &[u8]) -> Result<(Key, Option<Role>)> {
    let at = "what the process_command printed";
    let mut profile: AliyunProfile = serde_json::from_slice(text).map_err(|error| {
        anyhow::anyhow!("{at} is no profile (line {}, column {})", error.line(), error.column())
    })?;
    match mode(&profile).as_str() {
        "ak" => Ok((profile.key(at, false)?, None)),
        "ststoken" => Ok((with_token(profile.key(at, true)?, at)?, None)),
        "ramrolearn" => Ok((profile.key(at, true)?, Some(profile.role(at)?))),
        other => bail!("{at} has the mode {other:?}; AK, StsToken and RamRoleArn are expected"),
    }
}

/// The mode in lower case, as the CLI compares it; told from what there is if it is missing.
fn mode(profile: &AliyunProfile) -> String {
    match profile.mode.as_deref() {
        Some(mode) if !mode.is_empty() => mode.to_ascii_lowercase(),
        _ if profile.sts_token.as_ref().is_some_and(|token| !token.0.expose().is_empty()) => {
            "ststoken".into()
        }
        _ => "ak".into(),
    }
}

fn with_token(key: Key, at: &str) -> Result<Key> {
    ensure!(key.security_token.is_some(), "{at} has no sts_token");
    Ok(key)
}

fn from_aliyun(path: &Path, chosen: Option<&str>, sources: &Sources<'_>) -> Result<Option<Credentials>> {
    let Some(text) = read(path)? else { return Ok(None) };
    // The parser's own text may quote the value it stumbled over.
    let mut config: AliyunConfig = serde_json::from_str(&text).map_err(|error| {
        anyhow::anyhow!(
            "{} is not the aliyun CLI's configuration (line {}, column {})",
            path.display(),
            error.line(),
            error.column()
        )
    })?;
    let current = given(config.current.take());
    let mut name = chosen.or(current.as_deref()).unwrap_or(DEFAULT_PROFILE).to_owned();
    let (mut roles, mut region) = (Vec::new(), None);
    for place in 0..CHAIN {
        let at = format!("profile {name:?} in {}", path.display());
        let Some(profile) = config.profiles.iter_mut().find(|profile| profile.name == name) else {
            ensure!(place == 0, "{} has no profile {name:?}, which another one begins with", path.display());
            return Ok(None);
        };
        if place == 0 {
            region = given(profile.region_id.take());
        }
        let source = match mode(profile).as_str() {
            // `aliyun configure` leaves an empty default profile behind.
            "ak" if chosen.is_none() && place == 0 && profile.is_bare() => return Ok(None),
            "ak" => Source::Key(profile.key(&at, false)?),
            "ststoken" => Source::Key(with_token(profile.key(&at, true)?, &at)?),
            "ramrolearn" => {
                roles.push(profile.role(&at)?);
                Source::Key(profile.key(&at, true)?)
            }
            "chainableramrolearn" => {
                roles.push(profile.role(&at)?);
                name = given(profile.source_profile.clone())
                    .with_context(|| format!("{at} has no source_profile"))?;
                continue;
            }
            "external" => {
                let command = profile.process_command.as_deref().unwrap_or_default();
                let command: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
                ensure!(!command.is_empty(), "{at} has no process_command");
                Source::Command(command)
            }
            "credentialsuri" => {
                let uri = given_secret(profile.credentials_uri.take());
                let uri = uri.or_else(|| sources.get("ALIBABA_CLOUD_CREDENTIALS_URI").map(Secret::from));
                Source::Uri(uri.with_context(|| format!("{at} has no credentials_uri"))?)
            }
            _ => bail!(
                "{at} has the mode {:?}; only {MODES} are supported",
                given(profile.mode.take()).unwrap_or_default()
            ),
        };
        // The role that is nearest to the key is assumed first.
        roles.reverse();
        return Ok(Some(Credentials { source, roles, region }));
    }
    bail!("the profiles in {} begin with each other, more than {CHAIN} of them", path.display())
}

fn from_ini(path: &Path, name: &str) -> Result<Option<Credentials>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let Some(section) =
        ini_section(&text, name).with_context(|| format!("cannot read {}", path.display()))?
    else {
        return Ok(None);
    };
    let at = format!("profile {name:?} in {}", path.display());
    let get = |key: &str| {
        let value = section.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value);
        value.filter(|value| !value.is_empty())
    };
    let need = |key: &str| get(key).with_context(|| format!("{at} has no {key}"));
    let token = match get("type") {
        None | Some("access_key") => None,
        Some("sts") => Some(need("security_token")?),
        Some(other) => bail!("{at} has the type {other:?}; only access_key and sts are supported"),
    };
    let key = Key {
        access_key_id: need("access_key_id")?.to_owned(),
        secret: need("access_key_secret")?.into(),
        security_token: token.map(Secret::from),
    };
    Ok(Some(Credentials::of_key(key, get("region_id").map(str::to_owned))))
}

/// The keys and values of one section, `None` if there is no such section.
fn ini_section<'t>(text: &'t str, name: &str) -> Result<Option<Vec<(&'t str, &'t str)>>> {
    let mut pairs = None;
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let section = section.strip_suffix(']');
            ensure!(section.is_some(), "line {} begins with [ and does not end with ]", number + 1);
            inside = section.map(str::trim) == Some(name);
            if inside {
                pairs.get_or_insert_with(Vec::new);
            }
        } else if inside {
            let pair = line.split_once('=');
            let (key, value) =
                pair.with_context(|| format!("line {} is not of the form key = value", number + 1))?;
            pairs.get_or_insert_with(Vec::new).push((key.trim(), value.trim()));
        }
    }
    Ok(pairs)
}

/// `#` and `;` begin a comment at the start of a line or after a blank.
fn without_comment(line: &str) -> &str {
    let mut blank = true;
    for (at, c) in line.char_indices() {
        if blank && matches!(c, '#' | ';') {
            return &line[..at];
        }
        blank = c.is_whitespace();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_first() {
        let home = Home::new();
        home.aliyun(
            r#"{"current":"p","profiles":[{"name":"p","access_key_id":"f","access_key_secret":"g"}]}"#,
        );
        let new = [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "key"),
            ("ALIBABA_CLOUD_SECURITY_TOKEN", "token"),
            ("ALICLOUD_ACCESS_KEY", "old"),
            ("ALICLOUD_SECRET_KEY", "old"),
            ("ALICLOUD_REGION", "cn-beijing"),
        ];
        let all = home.load(&new, None).unwrap();
        assert_eq!(parts(&all), ("id", "key", Some("token"), Some("cn-beijing")));
        let old = home.load(&new[3..], None).unwrap();
        assert_eq!(parts(&old), ("old", "old", None, Some("cn-beijing")));
        let empty =
            home.load(&[("ALICLOUD_ACCESS_KEY", ""), ("ALIBABA_CLOUD_ACCESS_KEY_ID", "")], None).unwrap();
        assert_eq!(parts(&empty).0, "f");
    }

    #[test]
    fn half_a_key_is_refused() {
        let home = Home::new();
        let error = home.load(&[("ALIBABA_CLOUD_ACCESS_KEY_ID", "id")], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ALIBABA_CLOUD_ACCESS_KEY_ID is set and ALIBABA_CLOUD_ACCESS_KEY_SECRET is not"
        );
        let error = home.load(&[("ALICLOUD_SECRET_KEY", "hunter2")], None).unwrap_err();
        assert_eq!(error.to_string(), "ALICLOUD_SECRET_KEY is set and ALICLOUD_ACCESS_KEY is not");
    }

    #[test]
    fn the_aliyun_profile_is_the_current_or_the_chosen_one() {
        let home = Home::new();
        home.aliyun(
            r#"{"current": "one", "meta_path": "", "profiles": [
                {"name": "one", "mode": "AK", "access_key_id": "id1", "access_key_secret": "key1",
                 "region_id": "cn-hangzhou", "sts_token": "left over", "output_format": "json"},
                {"name": "two", "mode": "StsToken", "access_key_id": "id2", "access_key_secret": "key2",
                 "sts_token": "token2", "region_id": ""},
                {"name": "sso", "mode": "CloudSSO"}, {"name": "bare", "mode": "AK"}]}"#,
        );
        let current = home.load(&[], None).unwrap();
        assert_eq!(parts(&current), ("id1", "key1", None, Some("cn-hangzhou")));
        let region = [("ALIBABA_CLOUD_REGION_ID", "cn-shanghai")];
        assert_eq!(home.load(&region, None).unwrap().region.as_deref(), Some("cn-shanghai"));
        assert_eq!(home.load(&region, Some("one")).unwrap().region.as_deref(), Some("cn-hangzhou"));
        let chosen = home.load(&[("ALIBABA_CLOUD_PROFILE", "two")], None).unwrap();
        assert_eq!(parts(&chosen), ("id2", "key2", Some("token2"), None));
        let key = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "key")];
        assert_eq!(parts(&home.load(&key, Some("two")).unwrap()).0, "id2");
        let error = home.load(&[], Some("sso")).unwrap_err().to_string();
        assert!(error.ends_with("has the mode \"CloudSSO\"; only AK, StsToken, RamRoleArn, ChainableRamRoleArn, External and CredentialsURI are supported"), "{error}");
        let error = home.load(&[], Some("bare")).unwrap_err().to_string();
        assert!(error.ends_with("has no access_key_id"), "{error}");
        let error = home.load(&[], Some("three")).unwrap_err().to_string();
        assert!(error.starts_with("no profile \"three\" in "), "{error}");
    }

    #[test]
    fn a_profile_may_name_a_role_or_where_its_key_comes_from() {
        let home = Home::new();
        home.aliyun(
            r#"{"profiles": [
                {"name": "base", "mode": "AK", "access_key_id": "id", "access_key_secret": "key", "region_id": "r"},
                {"name": "role", "mode": "RamRoleArn", "access_key_id": "id", "access_key_secret": "key",
                 "sts_token": "t", "ram_role_arn": "arn1", "ram_session_name": "s", "expired_seconds": 900,
                 "external_id": "x", "region_id": "cn-hangzhou"},
                {"name": "chain", "mode": "chainableramrolearn", "source_profile": "role", "ram_role_arn": "arn2",
                 "ram_session_name": "s", "expired_seconds": 0, "region_id": "cn-beijing"},
                {"name": "round", "mode": "ChainableRamRoleArn", "source_profile": "round", "ram_role_arn": "a",
                 "ram_session_name": "s"},
                {"name": "lost", "mode": "ChainableRamRoleArn", "source_profile": "none", "ram_role_arn": "a",
                 "ram_session_name": "s"},
                {"name": "command", "mode": "External", "process_command": " get-key  --for me"},
                {"name": "uri", "mode": "CredentialsURI", "credentials_uri": "http://h/?hunter2"},
                {"name": "no-uri", "mode": "CredentialsURI"},
                {"name": "no-role", "mode": "RamRoleArn", "access_key_id": "id", "access_key_secret": "key"}]}"#,
        );
        let first = Role {
            arn: "arn1".into(),
            session_name: "s".into(),
            seconds: Some(900),
            external_id: Some("x".into()),
        };
        let second = Role { arn: "arn2".into(), session_name: "s".into(), seconds: None, external_id: None };
        let role = home.load(&[], Some("role")).unwrap();
        assert_eq!(
            (parts(&role), &role.roles[..]),
            (("id", "key", Some("t"), Some("cn-hangzhou")), &[first.clone()][..])
        );
        let chain = home.load(&[], Some("chain")).unwrap();
        assert_eq!(parts(&chain), ("id", "key", Some("t"), Some("cn-beijing")));
        assert_eq!(chain.roles, [first, second]);
        let command = home.load(&[], Some("command")).unwrap();
        assert!(matches!(&command.source, Source::Command(words) if *words == ["get-key", "--for", "me"]));
        let uri = home.load(&[], Some("uri")).unwrap();
        assert!(matches!(&uri.source, Source::Uri(uri) if uri.expose() == "http://h/?hunter2"));
        assert!(!format!("{uri:?}").contains("hunter2"));
        let set = [("ALIBABA_CLOUD_CREDENTIALS_URI", "http://other/")];
        let uri = home.load(&set, Some("no-uri")).unwrap();
        assert!(matches!(&uri.source, Source::Uri(uri) if uri.expose() == "http://other/"));
        for (name, expected) in [
            ("round", "begin with each other"),
            ("lost", "has no profile \"none\""),
            ("no-uri", "has no credentials_uri"),
            ("no-role", "has no ram_role_arn"),
        ] {
            let error = home.load(&[], Some(name)).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn what_a_command_prints_is_a_key_and_is_not_quoted() {
        let (key, role) =
            printed(br#"{"mode":"StsToken","access_key_id":"i","access_key_secret":"k","sts_token":"t"}"#)
                .unwrap();
        assert_eq!((key.access_key_id.as_str(), key.secret.expose(), role), ("i", "k", None));
        assert_eq!(key.security_token.as_ref().map(Secret::expose), Some("t"));
        for wrong in [
            r#"{"mode":"AK","access_key_id":"hunter2"}"#,
            r#"{"mode":"StsToken","access_key_id":"i","access_key_secret":"hunter2"}"#,
            r#"{"mode":"External","process_command":"hunter2"}"#,
            r#""hunter2""#,
            "",
        ] {
            let error = format!("{:?}", printed(wrong.as_bytes()).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_broken_configuration_is_not_quoted() {
        let home = Home::new();
        home.aliyun(r#"{"profiles":[{"name":"default","access_key_secret":["hunter2"]}]}"#);
        let error = format!("{:?}", home.load(&[], None).unwrap_err());
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
        home.aliyun(r#"{"profiles":"hunter2"}"#);
        let error = format!("{:?}", home.load(&[], None).unwrap_err());
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_credentials_file_comes_last() {
        let home = Home::new();
        home.aliyun("\u{feff}{\"current\":\"default\",\"profiles\":[{\"name\":\"default\",\"mode\":\"AK\",\"access_key_id\":\"\"}]}");
        home.ini(
            "# comment\n[default]\ntype = access_key   # of 2024\naccess_key_id=id\naccess_key_secret = a=b#c\n\
             [client]\ntype = sts\naccess_key_id = i\naccess_key_secret = k\nsecurity_token = t\n\
             [arn]\ntype = ram_role_arn\n[other]\nnonsense\n",
        );
        assert_eq!(parts(&home.load(&[], None).unwrap()), ("id", "a=b#c", None, None));
        assert_eq!(parts(&home.load(&[], Some("client")).unwrap()), ("i", "k", Some("t"), None));
        let error = home.load(&[], Some("arn")).unwrap_err().to_string();
        assert!(error.ends_with("has the type \"ram_role_arn\"; only access_key and sts are supported"));
        let error = format!("{:#}", home.load(&[], Some("other")).unwrap_err());
        assert!(error.ends_with("line 14 is not of the form key = value"), "{error}");
    }

    #[test]
    fn the_credentials_file_may_be_elsewhere() {
        let home = Home::new();
        let path = home.0.path().join("elsewhere");
        fs::write(&path, "[default]\naccess_key_id = id\naccess_key_secret = key\n").unwrap();
        let path = path.to_str().unwrap();
        let found = home.load(&[("ALIBABA_CLOUD_CREDENTIALS_FILE", path)], None).unwrap();
        assert_eq!(parts(&found), ("id", "key", None, None));
    }

    #[test]
    fn nothing_found_says_where_it_was_looked_for() {
        let home = Home::new();
        let error = home.load(&[], None).unwrap_err().to_string();
        for part in ["ALIBABA_CLOUD_ACCESS_KEY_ID", "config.json", "credentials"] {
            assert!(error.contains(part), "{error}");
        }
        let none = Sources { variable: &|_| None, home: None };
        assert!(load(&none, None).unwrap_err().to_string().contains("no home directory"));
    }

    /// A home directory of the test's own.
    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn aliyun(&self, text: &str) {
            self.write(".aliyun", "config.json", text);
        }

        fn ini(&self, text: &str) {
            self.write(".alibabacloud", "credentials", text);
        }

        fn write(&self, directory: &str, file: &str, text: &str) {
            let directory = self.0.path().join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(file), text).unwrap();
        }

        fn load(&self, variables: &[(&str, &str)], named: Option<&str>) -> Result<Credentials> {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            load(&Sources { variable: &variable, home: Some(self.0.path().to_owned()) }, named)
        }
    }

    fn parts(found: &Credentials) -> (&str, &str, Option<&str>, Option<&str>) {
        let Source::Key(key) = &found.source else { panic!("{found:?}") };
        let token = key.security_token.as_ref().map(Secret::expose);
        (&key.access_key_id, key.secret.expose(), token, found.region.as_deref())
    }
}
