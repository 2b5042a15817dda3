//! `tongguan call`: one signed call from the command line.
//!
//! The API's parameters are given by their own names, which begin with a capital letter, and the
//! command's options by theirs, which do not. So neither needs quoting and both may come in any order
//! after the action. Clap sees the options that come first; everything from the first parameter on is
//! sorted here, and what is an option goes to clap after all.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Command, FromArgMatches as _, ValueEnum};
use http::Method;
use tongguan_rpc::{Format, Placement, SignatureMethod};

use super::client::{Answer, Client, Endpoint, Request, Trust, known_version, versions};
use super::duration;
use super::exchange;
use super::paint::{Paint, Style};
use super::profile::{self, Credentials, Sources};
use super::terminal::{self, harmless};
use super::value::Wanted;
use crate::exit::{NO_ANSWER, USAGE};

/// The server refused.
const REFUSED: u8 = 1;
/// What was waited for did not come.
const LATE: u8 = 4;
/// How long is waited unless somebody says otherwise.
const WAIT: Duration = Duration::from_secs(60);
/// Pause before the second call, doubled after each up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Parameters that the signature brings along.
const RESERVED: [&str; 10] = [
    "AccessKeyId",
    "Action",
    "Format",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureVersion",
    "Timestamp",
    "Version",
];

const AFTER_HELP: &str = "\
Parameters have the API's own names: --VpnGatewayId vpn-... --DryRun true --Tag.1.Key k
A value @FILE is read from the file, @@ begins a value with @.

The access key comes from ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET,
else from the profile in ~/.aliyun/config.json, else from ~/.alibabacloud/credentials.
Modes of the first: AK, StsToken, RamRoleArn, ChainableRamRoleArn, External, CredentialsURI.
Roles are assumed at --endpoint.
--ca names the certificate of a private CA, or the self-signed one of the server itself; it takes the place of those
that the platform trusts, which SSL_CERT_FILE and SSL_CERT_DIR name otherwise.

Variables: TONGGUAN_ENDPOINT, ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET, ALIBABA_CLOUD_SECURITY_TOKEN,
ALIBABA_CLOUD_REGION_ID, ALIBABA_CLOUD_PROFILE, ALIBABA_CLOUD_CREDENTIALS_FILE, ALIBABA_CLOUD_CREDENTIALS_URI,
SSL_CERT_FILE, SSL_CERT_DIR, NO_COLOR, CLICOLOR_FORCE.

Exit code: 0 done, 1 refused by the API, 2 wrong usage, 3 no answer, 4 what --wait waits for did not come.";

/// Where calls go that name no server.
const ENDPOINT_VARIABLE: &str = "TONGGUAN_ENDPOINT";

/// Sign one operation, send it to any endpoint, and print the answer.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CallArgs {
    /// Product: Vpc, Kms, Sts, Location, Ram, Cas, ResourceManager, Ecs, Alb, or another with --version
    product: String,
    /// Operation, for example DescribeVpnGateways
    action: String,
    #[command(flatten)]
    options: Options,
    /// Parameters of the operation: --Name VALUE or --Name=VALUE
    #[arg(value_name = "--Name VALUE", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The options that may also stand among the parameters.
#[derive(Debug, Default, Args)]
struct Options {
    /// Server: HOST:PORT or a URL; HTTPS unless it is a loopback address; else from TONGGUAN_ENDPOINT, which
    /// `tongguan dev` sets
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Sent as RegionId; else from ALIBABA_CLOUD_REGION_ID or the profile
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Profile with the access key, whatever the environment says
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Format of the answer [default: json]
    #[arg(long, value_enum, ignore_case = true)]
    format: Option<AnswerFormat>,
    /// API version of the product, for example 2016-04-28
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// How to sign [default: acs3-hmac-sha256, for XML hmac-sha1]
    #[arg(long, value_enum, ignore_case = true)]
    signature: Option<Signature>,
    /// HTTP method [default: POST]
    #[arg(long, value_enum, ignore_case = true)]
    method: Option<HttpMethod>,
    /// Send the parameters in the body
    #[arg(long)]
    form: bool,
    /// Print the answer as it came
    #[arg(long)]
    raw: bool,
    /// Use HTTP
    #[arg(long)]
    insecure: bool,
    /// Repeat the call until the answer has this value, such as Status=active or
    /// VpnGateways.VpnGateway.0.Status=active; Code=... waits for a refusal
    #[arg(long, value_name = "PATH=VALUE", value_parser = Wanted::parse)]
    wait: Option<Wanted>,
    /// How long --wait waits [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Trust the certificates in this file, PEM, and no others: a private CA, or the server's own, self-signed one
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Format of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnswerFormat {
    Json,
    Xml,
}

/// The ways to sign with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Signature {
    HmacSha1,
    HmacSha256,
    #[value(name = "acs3-hmac-sha256")]
    Acs3HmacSha256,
    #[value(name = "acs3-hmac-sm3")]
    Acs3HmacSm3,
}

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum HttpMethod {
    Get,
    Post,
}

/// Carries out `tongguan call`. Exit codes: 0 done, 1 refused by the API, 2 wrong usage or credentials,
/// 3 no answer, 4 what was waited for did not come.
///
/// # Errors
/// When the answer cannot be printed.
pub(crate) async fn run(args: CallArgs) -> Result<ExitCode> {
    let sorted = match Words::sort(&args.words) {
        Ok(sorted) if sorted.help => return help(),
        Ok(sorted) => sorted,
        Err(error) => return complain(&error, USAGE),
    };
    let sources = Sources::of_process();
    let (plan, credentials) = match Plan::new(args, sorted, &sources) {
        Ok(planned) => planned,
        Err(error) => return complain(&error, USAGE),
    };
    let client = match plan.client(credentials).await {
        Ok(client) => client,
        Err(error) => return complain(&error, USAGE),
    };
    let signed = match client.sign(&plan.request()) {
        Ok(ready) => ready,
        Err(error) => return complain(&error, USAGE),
    };
    let Some((wanted, timeout)) = &plan.wait else {
        return match client.send(signed).await {
            Ok(answer) => print(&answer, plan.raw),
            Err(error) => complain(&error, NO_ANSWER),
        };
    };
    wait(&plan, &client, signed, wanted, *timeout).await
}

/// Repeats the call until what is wanted is there. Every call has a signature of its own.
async fn wait(
    plan: &Plan,
    client: &Client,
    mut signed: tongguan_rpc::OutgoingRequest,
    wanted: &Wanted,
    timeout: Duration,
) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = match client.send(signed).await {
            Ok(answer) => answer,
            Err(error) => return complain(&error, NO_ANSWER),
        };
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        if wanted.is_met(&body) {
            print(&answer, plan.raw)?;
            return Ok(ExitCode::SUCCESS);
        }
        // Another refusal than the one that is waited for will not end by itself.
        if !answer.is_success() {
            return print(&answer, plan.raw);
        }
        if begun.elapsed() + pause > timeout {
            print(&answer, plan.raw)?;
            let late = format!("{wanted} did not come: there is {}", wanted.found(&body));
            terminal::tell(&late);
            return Ok(ExitCode::from(LATE));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
        signed = match client.sign(&plan.request()) {
            Ok(signed) => signed,
            Err(error) => return complain(&error, USAGE),
        };
    }
}

fn help() -> Result<ExitCode> {
    let text = CallArgs::augment_args(Command::new("call").bin_name("tongguan call")).render_help();
    terminal::out().text(&text.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn complain(error: &anyhow::Error, code: u8) -> Result<ExitCode> {
    terminal::complain(error);
    Ok(ExitCode::from(code))
}

fn print(answer: &Answer, raw: bool) -> Result<ExitCode> {
    let mut out = terminal::out();
    if raw {
        out.bytes(&answer.body).context("cannot write the answer")?;
    } else {
        let laid_out = out.paint().body(&answer.body);
        out.text(&laid_out).context("cannot write the answer")?;
    }
    if answer.is_success() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut err = terminal::err();
    let (summary, code) = summary(answer, err.paint());
    writeln!(err, "{summary}")?;
    Ok(ExitCode::from(code))
}

/// One line about an error, and the exit code.
fn summary(answer: &Answer, paint: Paint) -> (String, u8) {
    let Some(error) = answer.error() else {
        let label = paint.paint(Style::Bad, &format!("HTTP {}", answer.status));
        return (format!("{label}: this is not an answer of the API"), NO_ANSWER);
    };
    let code = paint.paint(Style::Bad, &harmless(&error.code));
    let line = format!("{code}: {} (RequestId {})", harmless(&error.message), harmless(&error.request_id));
    (line, REFUSED)
}

/// The words after the action, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    /// Parameters of the operation, each name once.
    parameters: Vec<(String, String)>,
    /// Options of the command, for clap.
    options: Vec<String>,
    /// Help was asked for.
    help: bool,
}

impl Words {
    fn sort(words: &[String]) -> Result<Self> {
        let known = Options::augment_args(Command::new("call"));
        let mut sorted = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let Some(name) = word.strip_prefix("--").filter(|name| !name.is_empty()) else {
                if word == "-h" {
                    sorted.help = true;
                    continue;
                }
                bail!("unexpected {word:?}: a parameter is --Name VALUE");
            };
            if name.starts_with(|c: char| c.is_ascii_uppercase()) {
                let (name, value) = match name.split_once('=') {
                    Some((name, value)) => (name, value.to_owned()),
                    None => (name, following(&mut rest, word)?),
                };
                sorted.add(name, value)?;
                continue;
            }
            let (name, inline) = name.split_once('=').map_or((name, false), |(name, _)| (name, true));
            sorted.help |= name == "help";
            let option = known.get_arguments().find(|option| option.get_long() == Some(name));
            match option {
                Some(option) => {
                    sorted.options.push(word.clone());
                    if option.get_action().takes_values() && !inline {
                        sorted.options.push(following(&mut rest, word)?);
                    }
                }
                None if name == "help" => {}
                None => bail!("unknown option --{name}; the API's parameters begin with a capital letter"),
            }
        }
        Ok(sorted)
    }

    fn add(&mut self, name: &str, value: String) -> Result<()> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        ensure!(name.chars().all(fits), "{name:?} is no parameter name");
        ensure!(!RESERVED.contains(&name), "{name} is set by the signature and cannot be given");
        ensure!(self.parameters.iter().all(|(known, _)| known != name), "--{name} is given twice");
        self.parameters.push((name.to_owned(), value));
        Ok(())
    }
}

/// The value of an option that is a word of its own. PEM begins with hyphens, an option with two and a letter.
fn following(rest: &mut std::slice::Iter<'_, String>, option: &str) -> Result<String> {
    let looks_like_option = |word: &str| {
        word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
    };
    match rest.next() {
        None => bail!("{option} has no value"),
        Some(word) if looks_like_option(word) => {
            bail!("{option} has no value; write {option}={word} if {word} is meant to be it")
        }
        Some(word) => Ok(word.clone()),
    }
}

impl Options {
    /// Takes the options that stood among the parameters.
    fn merge(&mut self, words: &[String]) -> Result<()> {
        let command = Options::augment_args(Command::new("tongguan call").no_binary_name(true));
        let matches = command.try_get_matches_from(words).map_err(|error| {
            // The first line says it; the rest is about a command that nobody typed.
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            anyhow::anyhow!("{}", first.strip_prefix("error: ").unwrap_or(first).to_owned())
        })?;
        let more = Options::from_arg_matches(&matches).context("the options cannot be read")?;
        once("endpoint", &mut self.endpoint, more.endpoint)?;
        once("region", &mut self.region, more.region)?;
        once("profile", &mut self.profile, more.profile)?;
        once("format", &mut self.format, more.format)?;
        once("version", &mut self.version, more.version)?;
        once("signature", &mut self.signature, more.signature)?;
        once("method", &mut self.method, more.method)?;
        once("ca", &mut self.ca, more.ca)?;
        once("wait", &mut self.wait, more.wait)?;
        once("timeout", &mut self.timeout, more.timeout)?;
        self.form |= more.form;
        self.raw |= more.raw;
        self.insecure |= more.insecure;
        Ok(())
    }
}

fn once<T>(name: &str, mine: &mut Option<T>, more: Option<T>) -> Result<()> {
    ensure!(mine.is_none() || more.is_none(), "--{name} is given twice");
    *mine = mine.take().or(more);
    Ok(())
}

/// Everything that is needed for the call.
#[derive(Debug)]
struct Plan {
    action: String,
    version: String,
    parameters: Vec<(String, String)>,
    method: Method,
    placement: Placement,
    format: Format,
    raw: bool,
    endpoint: Endpoint,
    signature: SignatureMethod,
    trust: Trust,
    /// What is waited for, and how long.
    wait: Option<(Wanted, Duration)>,
}

impl Plan {
    fn new(args: CallArgs, words: Words, sources: &Sources<'_>) -> Result<(Self, Credentials)> {
        let CallArgs { product, action, mut options, words: _ } = args;
        options.merge(&words.options)?;
        ensure!(
            !action.is_empty() && action.chars().all(|c| c.is_ascii_alphanumeric()),
            "{action:?} is no operation"
        );
        let version = version(&product, options.version)?;
        let endpoint = options.endpoint.or_else(|| sources.get(ENDPOINT_VARIABLE));
        let endpoint = endpoint.context("--endpoint is missing: HOST:PORT or a URL, or TONGGUAN_ENDPOINT")?;
        let endpoint = Endpoint::parse(&endpoint, options.insecure)?;
        let method = match options.method {
            Some(HttpMethod::Get) => Method::GET,
            Some(HttpMethod::Post) | None => Method::POST,
        };
        ensure!(!(options.form && method == Method::GET), "--form needs the method POST");
        let format = match options.format {
            Some(AnswerFormat::Xml) => Format::Xml,
            Some(AnswerFormat::Json) | None => Format::Json,
        };
        let mut parameters = words.parameters;
        for (name, value) in &mut parameters {
            *value = resolve(value).with_context(|| format!("--{name}"))?;
        }
        let mut credentials = profile::load(sources, options.profile.as_deref())?;
        if let Some(region) = options.region.or(credentials.region.take())
            && parameters.iter().all(|(name, _)| name != "RegionId")
        {
            parameters.push(("RegionId".to_owned(), region));
        }
        let placement = if options.form { Placement::Form } else { Placement::Query };
        let raw = options.raw;
        ensure!(options.timeout.is_none() || options.wait.is_some(), "--timeout goes with --wait");
        ensure!(options.wait.is_none() || format == Format::Json, "--wait reads JSON");
        let wait = options.wait.map(|wanted| (wanted, options.timeout.unwrap_or(WAIT)));
        let trust = options.ca.map_or(Trust::Platform, Trust::Only);
        let plan = Self {
            action,
            version,
            parameters,
            method,
            placement,
            format,
            raw,
            endpoint,
            signature: signature(options.signature, format),
            trust,
            wait,
        };
        Ok((plan, credentials))
    }

    /// Gets what signs, and is ready to.
    async fn client(&self, credentials: Credentials) -> Result<Client> {
        let signer = exchange::signer(credentials, self.signature, &self.endpoint, &self.trust).await?;
        Client::new(self.endpoint.clone(), signer, &self.trust)
    }

    fn request(&self) -> Request<'_> {
        Request {
            action: &self.action,
            version: &self.version,
            parameters: &self.parameters,
            method: self.method.clone(),
            placement: self.placement,
            format: self.format,
        }
    }
}

fn version(product: &str, given: Option<String>) -> Result<String> {
    if let Some(version) = given {
        return Ok(version);
    }
    let names = || versions().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    let unknown = || format!("the version of {product:?} is not known ({} are): give --version", names());
    Ok(known_version(product).with_context(unknown)?.to_owned())
}

/// V3 clients ask for JSON only; for XML the older signature is the usual one.
fn signature(given: Option<Signature>, format: Format) -> SignatureMethod {
    match (given, format) {
        (Some(Signature::HmacSha1), _) | (None, Format::Xml) => SignatureMethod::HmacSha1,
        (Some(Signature::HmacSha256), _) => SignatureMethod::HmacSha256,
        (Some(Signature::Acs3HmacSm3), _) => SignatureMethod::Acs3HmacSm3,
        (Some(Signature::Acs3HmacSha256), _) | (None, Format::Json) => SignatureMethod::Acs3HmacSha256,
    }
}

/// `@FILE` is the file's content, `@@text` is `@text`, all else is itself.
fn resolve(value: &str) -> Result<String> {
    match value.strip_prefix('@') {
        None => Ok(value.to_owned()),
        Some(literal) if literal.starts_with('@') => Ok(literal.to_owned()),
        Some("") => bail!("@ names no file; @@ begins a value with @"),
        Some(path) => {
            std::fs::read_to_string(Path::new(path)).with_context(|| format!("cannot read {path:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tongguan_rpc::Secret;

    use super::*;

    #[test]
    fn parameters_and_options_in_any_order() {
        let plan = plan(
            "Vpc DissociateVpnGatewayWithCertificate --format json --VpnGatewayId vpn-1 --endpoint 127.0.0.1:8080 \
             --DryRun=true --region cn-hangzhou --Tag.1.Key=a=b --form --Tag.1.Value= --method post",
        )
        .unwrap();
        assert_eq!(
            (plan.action.as_str(), plan.version.as_str()),
            ("DissociateVpnGatewayWithCertificate", "2016-04-28")
        );
        let expected = [
            ("VpnGatewayId", "vpn-1"),
            ("DryRun", "true"),
            ("Tag.1.Key", "a=b"),
            ("Tag.1.Value", ""),
            ("RegionId", "cn-hangzhou"),
        ];
        assert_eq!(plan.parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(plan.placement, Placement::Form);
        assert_eq!(plan.endpoint.to_string(), "http://127.0.0.1:8080");
        assert_eq!(plan.signature, SignatureMethod::Acs3HmacSha256);
    }

    #[test]
    fn a_call_that_names_no_server_goes_where_the_environment_says() {
        let variable = Some("127.0.0.1:8080");
        for (line, expected) in
            [("Vpc A", "http://127.0.0.1:8080"), ("Vpc A --endpoint 127.0.0.1:9 --A 1", "http://127.0.0.1:9")]
        {
            assert_eq!(planned_with(line, variable).unwrap().0.endpoint.to_string(), expected, "{line}");
        }
        assert!(planned_with("Vpc A", Some("")).unwrap_err().to_string().contains("TONGGUAN_ENDPOINT"));
    }

    #[test]
    fn wrong_command_lines_are_explained() {
        for (line, message) in [
            ("Vpc A", "--endpoint is missing"),
            ("Vpc A --endpoint h:1 --A", "--A has no value"),
            ("Vpc A --endpoint h:1 --A --B b", "--A has no value; write --A=--B if --B is meant to be it"),
            ("Vpc A --A 1 --endpoint --B b", "--endpoint has no value; write"),
            ("Vpc A --endpoint h:1 --A 1 --A 2", "--A is given twice"),
            ("Vpc A --endpoint h:1 --A 1 --endpoint h:2", "--endpoint is given twice"),
            (
                "Vpc A --A 1 --endpoint h:1 --endpoint h:2",
                "the argument '--endpoint <ENDPOINT>' cannot be used multiple times",
            ),
            ("Vpc A --A 1 --vpngatewayid x", "unknown option --vpngatewayid; the API's parameters begin"),
            ("Vpc A --vpngatewayid x", "unknown option --vpngatewayid"),
            ("Vpc A --A 1 stray", "unexpected \"stray\""),
            ("Vpc A --A 1 -x", "unexpected \"-x\""),
            ("Vpc A --A 1 --", "unexpected \"--\""),
            ("Vpc A --Version 1", "Version is set by the signature"),
            ("Vpc A --A 1 --format yaml", "invalid value 'yaml' for '--format"),
            ("Vpc A --A 1 --form=true", "unexpected value 'true' for '--form'"),
            ("Vpc A --A/B 1", "\"A/B\" is no parameter name"),
            ("Vpc A.b --endpoint h:1", "\"A.b\" is no operation"),
            ("Oss A --endpoint h:1", "the version of \"Oss\" is not known"),
            ("Vpc A --endpoint h:1 --form --method GET", "--form needs the method POST"),
            ("Vpc A --endpoint https://h:1 --insecure", "--insecure asks for HTTP"),
            ("Vpc A --endpoint h:1 --A @no/such/file", "--A: cannot read \"no/such/file\""),
            ("Vpc A --endpoint h:1 --A @", "--A: @ names no file"),
            ("Vpc A --endpoint h:1 --timeout 3s", "--timeout goes with --wait"),
            ("Vpc A --endpoint h:1 --A 1 --wait Status", "is not PATH=VALUE"),
            ("Vpc A --endpoint h:1 --A 1 --wait S=a --format xml", "--wait reads JSON"),
        ] {
            let error = format!("{:#}", plan(line).unwrap_err());
            assert!(error.contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn options_before_the_first_parameter_are_for_clap() {
        for line in ["Vpc", "Vpc A --endpoint", "Vpc A --format yaml", "Vpc A --endpoint a --endpoint b"] {
            assert!(
                Line::try_parse_from(format!("tongguan call {line}").split_whitespace()).is_err(),
                "{line}"
            );
        }
    }

    #[test]
    fn values_may_begin_with_hyphens() {
        let words = ["--Certificate", "-----BEGIN CERTIFICATE-----", "--A", "-1"].map(str::to_owned);
        let sorted = Words::sort(&words).unwrap();
        assert_eq!(sorted.parameters[0].1, "-----BEGIN CERTIFICATE-----");
        assert_eq!(sorted.parameters[1].1, "-1");
    }

    #[test]
    fn help_is_given_among_parameters() {
        for word in ["--help", "-h"] {
            assert!(Words::sort(&["--A".to_owned(), "1".to_owned(), word.to_owned()]).unwrap().help);
        }
    }

    #[test]
    fn the_region_given_as_a_parameter_wins() {
        let plan = plan("Vpc A --endpoint h:1 --region cn-beijing --RegionId cn-hangzhou").unwrap();
        assert_eq!(plan.parameters, [("RegionId".to_owned(), "cn-hangzhou".to_owned())]);
        let plan = super::tests::plan("sts GetCallerIdentity --endpoint h:1").unwrap();
        assert_eq!((plan.version.as_str(), plan.parameters.len()), ("2015-04-01", 0));
        assert_eq!(plan.endpoint.to_string(), "https://h:1");
    }

    #[test]
    fn versions_and_signatures() {
        assert_eq!(version("kms", None).unwrap(), "2016-01-20");
        assert_eq!(version("Ecs", Some("2014-05-26".to_owned())).unwrap(), "2014-05-26");
        let method = |options| plan(&format!("Vpc A --endpoint h:1 {options}")).unwrap().signature;
        assert_eq!(method("--format xml"), SignatureMethod::HmacSha1);
        assert_eq!(method("--format xml --signature acs3-hmac-sm3"), SignatureMethod::Acs3HmacSm3);
        assert_eq!(method("--signature HMAC-SHA256"), SignatureMethod::HmacSha256);
        assert_eq!(method("--signature hmac-sha1"), SignatureMethod::HmacSha1);
    }

    #[test]
    fn values_come_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leaf.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert_eq!(resolve(&format!("@{}", path.display())).unwrap(), "-----BEGIN CERTIFICATE-----\n");
        assert_eq!(resolve("@@name").unwrap(), "@name");
        assert_eq!(resolve("a@b").unwrap(), "a@b");
    }

    #[tokio::test]
    async fn the_secret_stays_out_of_sight() {
        let (plan, credentials) = planned("Vpc A --endpoint 127.0.0.1:1 --format xml").unwrap();
        let shown = format!("{credentials:?}");
        let signed = plan.client(credentials).await.unwrap().sign(&plan.request()).unwrap();
        assert!(!format!("{plan:?} {shown} {signed:?}").contains("hunter2"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_server_accepts_what_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let config = crate::config::Config {
            listen: "127.0.0.1:0".to_owned(),
            data_dir: directory.path().to_owned(),
            access_key_id: Some("testid".to_owned()),
            access_key_secret: Some(Secret::from("hunter2")),
            quiet: true,
            ..crate::config::Config::default()
        };
        let server = crate::serve::start(config).await.unwrap();
        let mut lines = Vec::new();
        for signature in ["hmac-sha1", "hmac-sha256", "acs3-hmac-sha256", "acs3-hmac-sm3"] {
            for options in ["", "--form", "--method GET", "--format xml"] {
                lines.push(format!("--signature {signature} {options}"));
            }
        }
        for options in lines {
            let line = format!(
                "Vpc DescribeRegions --endpoint {} --AcceptLanguage en-US {options}",
                server.endpoint
            );
            let (client, signed) = signed(&line).await;
            let answer = client.send(signed).await.unwrap();
            let body = String::from_utf8_lossy(&answer.body);
            assert!(answer.status == 200 && body.contains("cn-hangzhou"), "{line}: {} {body}", answer.status);
            assert_eq!(body.starts_with('<'), options.ends_with("xml"), "{line}: {body}");
        }
        let long = "x".repeat(9000);
        for (format, method) in [("json", "acs3-hmac-sm3"), ("xml", "hmac-sha1")] {
            let line = format!(
                "Kms UploadCertificate --endpoint {} --CertificateId {long} --Certificate {long} --format {format} \
                 --signature {method}",
                server.endpoint
            );
            let (client, signed) = signed(&line).await;
            assert_eq!(signed.path_and_query, "/");
            let error = client.send(signed).await.unwrap().error().unwrap();
            assert!(error.message.contains("invalid PEM"), "{}: {}", error.code, error.message);
        }
        server.stop().await.unwrap();
    }

    #[test]
    fn errors_in_one_line() {
        let answer =
            |body: &'static str| Answer { status: 404, headers: http::HeaderMap::new(), body: body.into() };
        let body = r#"{"Code":"A.B","Message":"one\ntwo","RequestId":"R"}"#;
        assert_eq!(
            summary(&answer(body), Paint::Plain),
            ("A.B: one\\u{a}two (RequestId R)".to_owned(), REFUSED)
        );
        let (line, code) = summary(&answer("<html>"), Paint::Plain);
        assert_eq!((line.as_str(), code), ("HTTP 404: this is not an answer of the API", NO_ANSWER));
    }

    /// The command as the binary has it.
    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Subcommand,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Subcommand {
        Call(CallArgs),
    }

    fn plan(line: &str) -> Result<Plan> {
        planned(line).map(|(plan, _)| plan)
    }

    async fn signed(line: &str) -> (Client, tongguan_rpc::OutgoingRequest) {
        let (plan, credentials) = planned(line).unwrap();
        let client = plan.client(credentials).await.unwrap();
        let signed = client.sign(&plan.request()).unwrap();
        (client, signed)
    }

    fn planned(line: &str) -> Result<(Plan, Credentials)> {
        planned_with(line, None)
    }

    fn planned_with(line: &str, endpoint: Option<&str>) -> Result<(Plan, Credentials)> {
        let line = Line::try_parse_from(format!("tongguan call {line}").split_whitespace())?;
        let Subcommand::Call(args) = line.command;
        let words = Words::sort(&args.words)?;
        let variable = |name: &str| match name {
            "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("testid".to_owned()),
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("hunter2".to_owned()),
            ENDPOINT_VARIABLE => endpoint.map(str::to_owned),
            _ => None,
        };
        Plan::new(args, words, &Sources { variable: &variable, home: None })
    }
}
