//! What signs a call, if the profile does not hold it: a command prints a key, an address answers one, or a key is
//! exchanged for a session in a role.
//!
//! Roles are assumed where the call goes to, since that service knows them: the vendor's own endpoint of Sts, which
//! its command line asks, does not. Nothing is kept between calls: a session is made anew for each command.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::Method;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;
use tongguan_rpc::{Format, Placement, Secret, SignatureMethod, Signer};

use super::client::{Client, Endpoint, Request, Trust, fetch, known_version};
use super::profile::{self, Credentials, Key, Role, Source};
use super::terminal;
use crate::config::GivenSecret;
use crate::key_command;

/// For a command to print a key; somebody may have to type a code meanwhile.
const TIME: Duration = Duration::from_secs(120);
/// Bytes that are read of what it prints.
const OUTPUT: usize = 64 * 1024;

/// A key as it is answered.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    code: Option<String>,
    access_key_id: String,
    access_key_secret: GivenSecret,
    security_token: GivenSecret,
}

impl From<Answered> for Key {
    fn from(answered: Answered) -> Self {
        Self {
            access_key_id: answered.access_key_id,
            secret: answered.access_key_secret.0,
            security_token: Some(answered.security_token.0),
        }
    }
}

/// What Sts answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    credentials: Answered,
}

/// What signs calls to an endpoint.
///
/// # Errors
/// The command or the address gives no key; a role is not to be assumed. Nothing of a secret is quoted.
pub(crate) async fn signer(
    credentials: Credentials,
    method: SignatureMethod,
    endpoint: &Endpoint,
    trust: &Trust,
) -> Result<Signer> {
    let Credentials { source, mut roles, region: _ } = credentials;
    let mut key = match source {
        Source::Key(key) => key,
        Source::Uri(uri) => answered(&uri).await?,
        Source::Command(command) => {
            let (key, role) = printed(&command).await?;
            roles.splice(0..0, role);
            key
        }
    };
    for role in &roles {
        key = assumed(of_key(key, method), role, endpoint, trust)
            .await
            .with_context(|| format!("cannot assume the role {:?}", role.arn))?;
    }
    Ok(of_key(key, method))
}

fn of_key(key: Key, method: SignatureMethod) -> Signer {
    Signer {
        access_key_id: key.access_key_id,
        secret: key.secret,
        security_token: key.security_token.as_ref().map(Secret::expose).map(str::to_owned),
        method,
    }
}

/// The key that a command prints. It speaks with whoever sits there by standard input and error.
async fn printed(command: &[String]) -> Result<(Key, Option<Role>)> {
    let Some((program, arguments)) = command.split_first() else { bail!("the process_command is empty") };
    let mut start = Command::new(program);
    start.args(arguments).stdout(Stdio::piped()).stderr(terminal::of_a_child()).kill_on_drop(true);
    let mut child = start.spawn().with_context(|| format!("process_command: cannot run `{program}`"))?;
    let Ok(ended) = timeout(TIME, key_command::output::<OUTPUT>(&mut child)).await else {
        bail!("process_command: `{program}` did not end within {} s", TIME.as_secs());
    };
    let (text, status) = ended.with_context(|| format!("process_command: cannot read from `{program}`"))?;
    ensure!(status.success(), "process_command: `{program}` failed ({status})");
    profile::printed(&text)
}

/// The key that is answered at an address.
async fn answered(uri: &Secret) -> Result<Key> {
    let answer = fetch(uri.expose()).await.context("credentials_uri")?;
    ensure!(answer.status == 200, "credentials_uri: it answers HTTP {}", answer.status);
    let read = serde_json::from_slice::<Answered>(&answer.body);
    let key = read.ok().context("credentials_uri: it does not answer a key")?;
    ensure!(key.code.as_deref() == Some("Success"), "credentials_uri: what it answers is no success");
    Ok(key.into())
}

async fn assumed(signer: Signer, role: &Role, endpoint: &Endpoint, trust: &Trust) -> Result<Key> {
    let mut parameters = vec![
        ("RoleArn".to_owned(), role.arn.clone()),
        ("RoleSessionName".to_owned(), role.session_name.clone()),
    ];
    parameters.extend(role.seconds.map(|seconds| ("DurationSeconds".to_owned(), seconds.to_string())));
    parameters.extend(role.external_id.clone().map(|id| ("ExternalId".to_owned(), id)));
    let client = Client::new(endpoint.clone(), signer, trust)?;
    let signed = client.sign(&Request {
        action: "AssumeRole",
        version: known_version("Sts").context("Sts is no product")?,
        parameters: &parameters,
        method: Method::POST,
        placement: Placement::Query,
        format: Format::Json,
    })?;
    let answer = client.send(signed).await?;
    if !answer.is_success() {
        match answer.error() {
            Some(error) => bail!("{}: {} (RequestId {})", error.code, error.message, error.request_id),
            None => bail!("HTTP {}: this is not an answer of the API", answer.status),
        }
    }
    let read = serde_json::from_slice::<Assumed>(&answer.body);
    Ok(read.ok().context("the answer holds no key")?.credentials.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Config;
    use crate::serve::{self, Running};

    const ACCOUNT: &str = "1234567890123456";

    fn key(id: &str, secret: &str) -> Key {
        Key { access_key_id: id.into(), secret: secret.into(), security_token: None }
    }

    fn role(name: &str) -> Role {
        Role {
            arn: format!("acs:ram::{ACCOUNT}:role/{name}"),
            session_name: "session".into(),
            seconds: Some(900),
            external_id: None,
        }
    }

    async fn called(
        signer: &Signer,
        endpoint: &Endpoint,
        product: &str,
        action: &str,
        with: &[(&str, &str)],
    ) -> Value {
        let parameters: Vec<_> =
            with.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let client = Client::new(endpoint.clone(), signer.clone(), &Trust::Platform).unwrap();
        let request = Request {
            action,
            version: known_version(product).unwrap(),
            parameters: &parameters,
            method: Method::POST,
            placement: Placement::Form,
            format: Format::Json,
        };
        let answer = client.send(client.sign(&request).unwrap()).await.unwrap();
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(answer.status, 200, "{action}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// A service with a user who may assume roles, and the roles `first` and `second`.
    async fn service(data: &std::path::Path) -> (Running, Endpoint, Key) {
        let config = Config {
            listen: "127.0.0.1:0".to_owned(),
            data_dir: data.to_owned(),
            account_id: Some(ACCOUNT.to_owned()),
            access_key_id: Some("rootid".to_owned()),
            access_key_secret: Some(Secret::from("rootsecret")),
            quiet: true,
            ..Config::default()
        };
        let running = serve::start(config).await.unwrap();
        let endpoint = Endpoint::parse(&running.endpoint.to_string(), false).unwrap();
        let root = of_key(key("rootid", "rootsecret"), SignatureMethod::Acs3HmacSha256);
        let ram = async |action, with: &[(&str, &str)]| called(&root, &endpoint, "Ram", action, with).await;
        ram("CreateUser", &[("UserName", "alice")]).await;
        let made = ram("CreateAccessKey", &[("UserName", "alice")]).await;
        let text = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
        let user = key(&text("AccessKeyId"), &text("AccessKeySecret"));
        let may = [("PolicyType", "System"), ("PolicyName", "AliyunSTSAssumeRoleAccess")];
        ram("AttachPolicyToUser", &[may[0], may[1], ("UserName", "alice")]).await;
        let trust = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:root")]}}]});
        for name in ["first", "second"] {
            let document = ("AssumeRolePolicyDocument", &*trust.to_string());
            ram("CreateRole", &[("RoleName", name), document]).await;
            ram("AttachPolicyToRole", &[may[0], may[1], ("RoleName", name)]).await;
        }
        (running, endpoint, user)
    }

    async fn identity(signer: &Signer, endpoint: &Endpoint) -> String {
        let answer = called(signer, endpoint, "Sts", "GetCallerIdentity", &[]).await;
        answer["Arn"].as_str().unwrap().to_owned()
    }

    /// Answers one request with this body.
    async fn answers_once(body: Value) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            assert!(head[..read].starts_with(b"GET /key?t=hunter2 HTTP/1.1"));
            let body = body.to_string();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        format!("http://{address}/key?t=hunter2")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_profile_names_signs_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let (running, endpoint, user) = service(directory.path()).await;
        let exchanged = async |source, roles| {
            let credentials = Credentials { source, roles, region: None };
            signer(credentials, SignatureMethod::Acs3HmacSm3, &endpoint, &Trust::Platform).await
        };
        let again = || key(&user.access_key_id, user.secret.expose());
        let session = |role| format!("acs:ram::{ACCOUNT}:assumed-role/{role}/session");

        let one = exchanged(Source::Key(again()), vec![role("first")]).await.unwrap();
        assert_eq!(identity(&one, &endpoint).await, session("first"));
        let two = exchanged(Source::Key(again()), vec![role("first"), role("second")]).await.unwrap();
        assert_eq!(identity(&two, &endpoint).await, session("second"));

        let answered = json!({"Code": "Success", "AccessKeyId": one.access_key_id,
            "AccessKeySecret": one.secret.expose(), "SecurityToken": one.security_token, "Expiration": "x"});
        let uri = answers_once(answered).await;
        let by_uri = exchanged(Source::Uri(uri.into()), Vec::new()).await.unwrap();
        assert_eq!(identity(&by_uri, &endpoint).await, session("first"));

        let profile = json!({"mode": "RamRoleArn", "access_key_id": user.access_key_id,
            "access_key_secret": user.secret.expose(), "ram_role_arn": role("first").arn,
            "ram_session_name": "session"});
        let file = directory.path().join("profile.json");
        std::fs::write(&file, profile.to_string()).unwrap();
        let command = vec!["cat".to_owned(), file.display().to_string()];
        let by_command = exchanged(Source::Command(command), vec![role("second")]).await.unwrap();
        assert_eq!(identity(&by_command, &endpoint).await, session("second"));

        for (source, roles, expected) in [
            (Source::Key(again()), vec![role("third")], "cannot assume the role \"acs:ram::"),
            (Source::Command(vec!["false".into()]), Vec::new(), "`false` failed"),
            (Source::Command(vec!["/no/such/program".into()]), Vec::new(), "cannot run"),
            (Source::Uri("hunter2 is no url".into()), Vec::new(), "no URL"),
            (
                Source::Uri(answers_once(json!({"Code": "Failed"})).await.into()),
                Vec::new(),
                "not answer a key",
            ),
        ] {
            let error = format!("{:#}", exchanged(source, roles).await.unwrap_err());
            assert!(error.contains(expected) && !error.contains("hunter2"), "{expected}: {error}");
        }
        running.stop().await.unwrap();
    }
}
