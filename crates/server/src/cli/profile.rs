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

const REGION_VARIABLES: [&str; 2] = ["ALIBABA_CLOUD_REGION_ID", "ALICLOUD_REGION"];

/// What signs, and where it works.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// Id of the access key.
    pub(crate) access_key_id: String,
    /// Its secret.
    pub(crate) secret: Secret,
    /// Token, if the key is a temporary one.
    pub(crate) security_token: Option<Secret>,
    /// Region of the environment or the profile.
    pub(crate) region: Option<String>,
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
    fn get(&self, name: &str) -> Option<String> {
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
        Some(path) => from_aliyun(path, chosen.as_deref())?,
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
        let region = sources.region();
        return Ok(Some(Credentials { access_key_id, secret: key.into(), security_token, region }));
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
}

fn from_aliyun(path: &Path, chosen: Option<&str>) -> Result<Option<Credentials>> {
    let Some(text) = read(path)? else { return Ok(None) };
    // The parser's own text may quote the value it stumbled over.
    let config: AliyunConfig = serde_json::from_str(&text).map_err(|error| {
        anyhow::anyhow!(
            "{} is not the aliyun CLI's configuration (line {}, column {})",
            path.display(),
            error.line(),
            error.column()
        )
    })?;
    let current = config.current.filter(|name| !name.is_empty());
    let name = chosen.or(current.as_deref()).unwrap_or(DEFAULT_PROFILE);
    let Some(profile) = config.profiles.into_iter().find(|profile| profile.name == name) else {
        return Ok(None);
    };
    let at = format!("profile {name:?} in {}", path.display());
    let given = |value: Option<String>| value.filter(|value| !value.is_empty());
    let given_secret = |value: Option<GivenSecret>| {
        value.map(|GivenSecret(secret)| secret).filter(|secret| !secret.expose().is_empty())
    };
    let token = match given(profile.mode).as_deref() {
        None | Some("AK") => None,
        Some("StsToken") => {
            Some(given_secret(profile.sts_token).with_context(|| format!("{at} has no sts_token"))?)
        }
        Some(other) => bail!("{at} has the mode {other:?}; only AK and StsToken are supported"),
    };
    let (id, secret) = (given(profile.access_key_id), given_secret(profile.access_key_secret));
    // `aliyun configure` leaves an empty default profile behind.
    if id.is_none() && secret.is_none() && chosen.is_none() {
        return Ok(None);
    }
    Ok(Some(Credentials {
        access_key_id: id.with_context(|| format!("{at} has no access_key_id"))?,
        secret: secret.with_context(|| format!("{at} has no access_key_secret"))?,
        security_token: token,
        region: given(profile.region_id),
    }))
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
    Ok(Some(Credentials {
        access_key_id: need("access_key_id")?.to_owned(),
        secret: need("access_key_secret")?.into(),
        security_token: token.map(Secret::from),
        region: get("region_id").map(str::to_owned),
    }))
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
        assert_eq!(empty.access_key_id, "f");
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
        assert_eq!(home.load(&key, Some("two")).unwrap().access_key_id, "id2");
        let error = home.load(&[], Some("sso")).unwrap_err().to_string();
        assert!(error.ends_with("has the mode \"CloudSSO\"; only AK and StsToken are supported"), "{error}");
        let error = home.load(&[], Some("bare")).unwrap_err().to_string();
        assert!(error.ends_with("has no access_key_id"), "{error}");
        let error = home.load(&[], Some("three")).unwrap_err().to_string();
        assert!(error.starts_with("no profile \"three\" in "), "{error}");
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
        let token = found.security_token.as_ref().map(Secret::expose);
        (&found.access_key_id, found.secret.expose(), token, found.region.as_deref())
    }
}
