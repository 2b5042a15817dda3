//! What `tongguan dev --init` does before the service is ready: runs scripts, and makes calls that are written down.
//!
//! `*.sh` is run by `sh` with the variables of the service; what it prints goes to standard error. `*.json` is a list
//! of calls:
//!
//! ```json
//! [
//!   {"product": "Vpc", "action": "CreateVpc", "parameters": {"VpcName": "lab"}, "as": "vpc"},
//!   {"product": "Vpc", "action": "DescribeVpcAttribute", "parameters": {"VpcId": "${vpc.VpcId}"},
//!    "wait": "Status=Available"}
//! ]
//! ```
//!
//! `as` names an answer, and `${name.Path}` puts in what stands there. What fails ends all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use tongguan_rpc::{Format, Placement};

use super::client::{Client, Request, known_version};
use super::terminal::{self, harmless};
use super::value::{self, Wanted};

/// Longest wait for what a call waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A call as it is written down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    product: String,
    action: String,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
    /// Name of the answer.
    #[serde(rename = "as")]
    name: Option<String>,
    /// Repeated until this is so.
    wait: Option<String>,
}

/// Does all that is in a directory, in the order of the names.
///
/// # Errors
/// The first thing that fails, by its file.
pub(crate) async fn run(
    directory: &Path,
    client: &Client,
    region: &str,
    variables: &[(&str, String)],
) -> Result<()> {
    for path in files(directory)? {
        let done = match path.extension().and_then(|extension| extension.to_str()) {
            Some("sh") => script(&path, variables).await,
            _ => calls(&path, client, region).await,
        };
        done.with_context(|| format!("`{}`", path.display()))?;
    }
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read `{}`", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "sh" || extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

async fn script(path: &Path, variables: &[(&str, String)]) -> Result<()> {
    let mut command = tokio::process::Command::new("sh");
    command.arg("-eu").arg(path).stdin(Stdio::null()).kill_on_drop(true);
    // Standard output is for whoever started the service.
    command.stdout(terminal::of_a_child()).envs(variables.iter().map(|(name, value)| (*name, value)));
    // `tongguan` in it is this program.
    let own = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
    let there = std::env::var_os("PATH").unwrap_or_default();
    let folders = own.into_iter().chain(std::env::split_paths(&there));
    command.env("PATH", std::env::join_paths(folders).context("PATH")?);
    let status = command.status().await.context("cannot run sh")?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

async fn calls(path: &Path, client: &Client, region: &str) -> Result<()> {
    let text = std::fs::read_to_string(path).context("cannot read it")?;
    let calls: Vec<Call> = serde_json::from_str(&text).context("it is no list of calls")?;
    let mut answers = BTreeMap::new();
    for (number, call) in (1..).zip(calls) {
        let answer = make(&call, &answers, client, region).await;
        let answer = answer.with_context(|| format!("call {number}, {} {}", call.product, call.action))?;
        if let Some(name) = call.name {
            answers.insert(name, answer);
        }
    }
    Ok(())
}

async fn make(
    call: &Call,
    answers: &BTreeMap<String, Value>,
    client: &Client,
    region: &str,
) -> Result<Value> {
    let version = known_version(&call.product).context("no such product")?;
    let wanted = call.wait.as_deref().map(Wanted::parse).transpose().map_err(anyhow::Error::msg)?;
    let mut parameters = Vec::new();
    for (name, given) in &call.parameters {
        let text =
            value::text(given).with_context(|| format!("{name} is a text, a number, true or false"))?;
        parameters.push((name.clone(), filled(&text, answers)?));
    }
    if !call.parameters.contains_key("RegionId") {
        parameters.push(("RegionId".to_owned(), region.to_owned()));
    }
    let request = Request {
        action: &call.action,
        version,
        parameters: &parameters,
        method: Method::POST,
        placement: Placement::Form,
        format: Format::Json,
    };
    let begun = Instant::now();
    loop {
        let answer = client.send(client.sign(&request)?).await?;
        let body: Value = serde_json::from_slice(&answer.body).context("the answer is no JSON")?;
        let came = wanted.as_ref().map(|wanted| wanted.is_met(&body));
        if !answer.is_success() && came != Some(true) {
            let error = answer.error().context("an answer without a code")?;
            bail!("{} {}: {}", answer.status, harmless(&error.code), harmless(&error.message));
        }
        if came != Some(false) {
            return Ok(body);
        }
        ensure!(begun.elapsed() < PATIENCE, "{} does not come", call.wait.as_deref().unwrap_or_default());
        tokio::time::sleep(PAUSE).await;
    }
}

/// A text with `${name.Path}` replaced by what stands there.
fn filled(text: &str, answers: &BTreeMap<String, Value>) -> Result<String> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (place, after) = after.split_once('}').context("`${` has no end")?;
        let (name, path) = place.split_once('.').unwrap_or((place, ""));
        let answer = answers.get(name).with_context(|| format!("no answer is called `{name}`"))?;
        let found = value::at(answer, path).and_then(value::text);
        whole.push_str(before);
        whole.push_str(&found.with_context(|| format!("the answer `{name}` has no `{path}`"))?);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_put_in() {
        let answers = BTreeMap::from([("vpc".to_owned(), json!({"VpcId": "vpc-1", "List": [{"N": 7}]}))]);
        assert_eq!(filled("${vpc.VpcId}", &answers).unwrap(), "vpc-1");
        assert_eq!(filled("a ${vpc.List.0.N} b ${vpc.VpcId}", &answers).unwrap(), "a 7 b vpc-1");
        assert_eq!(filled("$x {y}", &answers).unwrap(), "$x {y}");
        for wrong in ["${vpc.VpcId", "${vsw.Id}", "${vpc.None}", "${vpc}", "${vpc.List}"] {
            assert!(filled(wrong, &answers).is_err(), "{wrong}");
        }
    }
}
