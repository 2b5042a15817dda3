//! `tongguan ready`: asks the admin listener of a service whether it can serve. For a container's health check, for a
//! job that has started the service, and for an image that has no shell.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::client::{Answer, Channel, Endpoint, Trust};
use super::duration;
use super::terminal::{self, harmless};
use crate::exit;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = "\
Exit code: 0 ready, 1 not ready, 2 wrong usage, 3 no answer.";

/// Ask a running service whether it can serve
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ReadyArgs {
    /// Admin listener of the service: HOST:PORT or a URL
    #[arg(long, env = "TONGGUAN_ADMIN_URL", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// Ask again until it is ready, for at most so long, such as 10s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
}

/// What was found out.
enum Found {
    Ready,
    /// Why it cannot serve.
    NotReady(String),
    /// Why there is no answer.
    Silent(String),
}

/// Carries out `tongguan ready`.
///
/// # Errors
/// When nothing can be printed.
pub(crate) async fn run(args: ReadyArgs) -> Result<ExitCode> {
    // The admin listener speaks plain HTTP wherever it is; what puts TLS before it is named by https.
    let channel = Endpoint::parse(&args.url, !args.url.starts_with("https://"))
        .and_then(|endpoint| Channel::new(endpoint, &Trust::Platform));
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => {
            terminal::complain(&error);
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let begun = Instant::now();
    let patience = args.wait.unwrap_or_default();
    loop {
        let found = match tokio::time::timeout(ANSWER_TIME, channel.get("/readyz")).await {
            Ok(Ok(answer)) => read(&answer),
            Ok(Err(error)) => Found::Silent(crate::causes::causes(&error)),
            Err(_) => Found::Silent(format!("{} did not answer in time", args.url)),
        };
        let last = begun.elapsed() >= patience;
        match found {
            Found::Ready => {
                writeln!(terminal::out(), "ready")?;
                return Ok(ExitCode::SUCCESS);
            }
            Found::NotReady(why) if last => {
                terminal::tell(&format!("not ready: {why}"));
                return Ok(ExitCode::FAILURE);
            }
            Found::Silent(why) if last => {
                terminal::tell(&why);
                return Ok(ExitCode::from(exit::NO_ANSWER));
            }
            Found::NotReady(_) | Found::Silent(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What `/readyz` says: one JSON object for each check.
fn read(answer: &Answer) -> Found {
    let text = String::from_utf8_lossy(&answer.body);
    let checks: Option<Vec<Value>> = text.lines().map(|line| serde_json::from_str(line).ok()).collect();
    let checks = checks.filter(|checks| checks.iter().all(|check| check["check"].is_string()));
    let Some(checks) = checks.filter(|checks| !checks.is_empty()) else {
        return Found::Silent(format!("HTTP {}: this is not an admin listener", answer.status));
    };
    let failing: Vec<String> = checks
        .iter()
        .filter(|check| check["ok"] != true)
        .map(|check| {
            let text = |name: &str| harmless(check[name].as_str().unwrap_or_default());
            format!("{} ({})", text("check"), text("reason"))
        })
        .collect();
    if answer.is_success() { Found::Ready } else { Found::NotReady(failing.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_named() {
        let answer = |status, body: &'static str| Answer {
            status,
            headers: http::HeaderMap::new(),
            body: body.into(),
        };
        let fine = answer(200, "{\"check\":\"engine\",\"ok\":true}\n");
        assert!(matches!(read(&fine), Found::Ready));
        let failing = answer(
            503,
            "{\"check\":\"engine\",\"ok\":true}\n{\"check\":\"store_write\",\"ok\":false,\"reason\":\"full\"}\n",
        );
        assert!(matches!(read(&failing), Found::NotReady(why) if why == "store_write (full)"));
        for other in [answer(200, ""), answer(200, "<html>"), answer(400, "{\"Code\":\"MissingAction\"}")] {
            assert!(matches!(read(&other), Found::Silent(_)), "{other:?}");
        }
    }
}
