//! Recordings: pairs of a request and its answer, and a service for tests that answers from them.
//!
//! A recording is a text of JSON lines: the first says what it is ([`Heading`]), each further one is a [`Pair`]. No
//! secret is in it: what is one is `***`, in requests and in answers ([`crate::hiding`]). `tongguan record` writes it.
//!
//! A request fits a pair if version, operation, format of the answer and parameters are the same, but for the
//! ClientToken; the secrets among them are hidden before they are compared, so that any fits. What was recorded for the
//! same request several times is answered in the order of the file, the last again and again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tongguan_rpc::{Format, Params};

use crate::hiding;
use crate::product::Product;

/// The form of recordings that this release writes and reads.
pub const FORM: u32 = 1;
/// Requests that nothing was recorded for, as they are kept; the oldest go first.
pub const UNMATCHED: usize = 1_000;
/// A parameter that is another each time.
const CLIENT_TOKEN: &str = "ClientToken";
/// Fewer characters make no id of a request that could be replaced wherever it stands.
const ID_CHARS: usize = 16;

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Heading {
    /// [`FORM`].
    pub tongguan_recording: u32,
    /// URL of the service that was recorded.
    pub of: String,
}

/// The form of an answer, by its name in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// JSON.
    Json,
    /// XML.
    Xml,
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Xml => Self::Xml,
        }
    }
}

/// A request and its answer, a line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pair {
    /// When the answer came, UTC.
    pub time: String,
    /// Product, if it is one of this service's; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Version of the product's API.
    pub version: String,
    /// Operation.
    pub action: String,
    /// Parameters of the operation, without secrets and without ClientToken.
    pub parameters: BTreeMap<String, String>,
    /// The AccessKey id that signed, masked; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// What the answer was asked to be.
    pub format: Form,
    /// HTTP status of the answer.
    pub status: u16,
    /// Its content type; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Id of the request, which is another one in each replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The answer, without secrets.
    pub body: String,
}

/// What is wrong with a recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It does not begin as one.
    #[error("line 1 is not that of a recording of `tongguan record`: {0}")]
    Heading(String),
    /// It is of another release.
    #[error("it is a recording of form {0}, and this release reads form {FORM}")]
    Form(u32),
    /// A line is no pair.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// A recording, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Its first line.
    pub heading: Heading,
    /// The pairs, each with the number of its line.
    pub pairs: Vec<(usize, Pair)>,
    /// Bytes of whole lines. What follows was cut off when the recorder was killed, and nobody got the answer.
    pub whole: usize,
}

impl Recording {
    /// Reads a recording. A last line without an end is left out ([`Recording::whole`]).
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(text: &str) -> Result<Self, RecordingError> {
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = (1..).zip(text[..whole].lines());
        let (_, first) = lines.next().ok_or_else(|| RecordingError::Heading("it is empty".to_owned()))?;
        let heading: Heading =
            serde_json::from_str(first).map_err(|error| RecordingError::Heading(error.to_string()))?;
        if heading.tongguan_recording != FORM {
            return Err(RecordingError::Form(heading.tongguan_recording));
        }
        let pairs = lines.map(|(line, text)| {
            let pair = pair(text).map_err(|what| RecordingError::Line { line, what })?;
            Ok((line, pair))
        });
        Ok(Self { heading, pairs: pairs.collect::<Result<_, _>>()?, whole })
    }
}

fn pair(line: &str) -> Result<Pair, String> {
    let pair: Pair = serde_json::from_str(line).map_err(|error| {
        // The place on the line; that there is one line only is no news.
        error.to_string().replace("line 1 column", "column")
    })?;
    if !(200..600).contains(&pair.status) {
        return Err(format!("status {} is none of an answer", pair.status));
    }
    if pair.action.is_empty() || pair.version.is_empty() {
        return Err("action and version are not empty".to_owned());
    }
    Ok(pair)
}

/// The parameters of a request as they are recorded and compared: without secrets and without ClientToken.
#[must_use]
pub fn compared(parameters: &Params<'_>) -> BTreeMap<String, String> {
    let lasting = parameters.iter().filter(|(name, _)| *name != CLIENT_TOKEN);
    lasting.map(|(name, value)| (name.to_owned(), hiding::parameter(name, value).into_owned())).collect()
}

/// What tells requests apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    version: String,
    action: String,
    format: Form,
    parameters: BTreeMap<String, String>,
}

/// A pair, and where it comes from.
#[derive(Debug)]
struct Recorded {
    file: String,
    line: usize,
    pair: Pair,
}

/// Answers of a recording, for a service for tests.
#[derive(Debug)]
pub struct Replay {
    recorded: Vec<Recorded>,
    /// The pairs of each request, in the order in which they are answered.
    by_request: HashMap<Asked, Vec<usize>>,
    only: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each pair was answered.
    used: Vec<u64>,
    /// How many answers each request has had.
    answered: HashMap<Asked, usize>,
    unmatched: VecDeque<Unmatched>,
    lost: bool,
}

/// A request that nothing was recorded for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unmatched {
    /// Product, if it is one of this service's.
    pub product: Option<String>,
    /// Version of the product's API.
    pub version: String,
    /// Operation.
    pub action: String,
    /// What the answer was asked to be.
    pub format: Form,
    /// Parameters without secrets, as they were compared.
    pub parameters: BTreeMap<String, String>,
}

/// A pair, and how often it was answered.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// File of the recording.
    pub file: String,
    /// Line in it.
    pub line: usize,
    /// Product, if it is one of this service's.
    pub product: Option<String>,
    /// Operation.
    pub action: String,
    /// Parameters, as they are compared.
    pub parameters: BTreeMap<String, String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// How often it was answered.
    pub used: u64,
}

/// What a test sees of a replay.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Whether nothing else is answered.
    pub only: bool,
    /// The pairs, in the order of the recording.
    pub pairs: Vec<Use>,
    /// How many of them were never answered.
    pub unused: usize,
    /// Requests that nothing was recorded for.
    pub unmatched: Vec<Unmatched>,
    /// Earlier ones are kept no more.
    pub lost: bool,
}

/// A recorded answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// Code of a refusal.
    pub code: Option<String>,
    /// The body, with this request's id.
    pub body: String,
}

/// Whether something was recorded for a request.
pub(crate) enum Looked<'r> {
    /// It was: what it is asked for by.
    Found(Found<'r>),
    /// It was not, and the service answers itself.
    Unknown,
    /// It was not, and nothing else is answered.
    Refused,
}

/// A request that something was recorded for.
pub(crate) struct Found<'r> {
    replay: &'r Replay,
    asked: Asked,
}

impl Replay {
    /// Over recordings, by the names of their files. With `only`, what was not recorded is refused.
    #[must_use]
    pub fn new(recordings: Vec<(String, Recording)>, only: bool) -> Self {
        let mut recorded = Vec::new();
        let mut by_request: HashMap<Asked, Vec<usize>> = HashMap::new();
        for (file, recording) in recordings {
            for (line, pair) in recording.pairs {
                let (version, action) = (pair.version.clone(), pair.action.clone());
                // A file that was edited by hand may still have one.
                let mut parameters = pair.parameters.clone();
                parameters.remove(CLIENT_TOKEN);
                let asked = Asked { version, action, format: pair.format, parameters };
                by_request.entry(asked).or_default().push(recorded.len());
                recorded.push(Recorded { file: file.clone(), line, pair });
            }
        }
        let state = Mutex::new(State { used: vec![0; recorded.len()], ..State::default() });
        Self { recorded, by_request, only, state }
    }

    /// Looks for a request.
    pub(crate) fn look(
        &self,
        version: &str,
        action: &str,
        format: Format,
        parameters: &Params<'_>,
    ) -> Looked<'_> {
        let (version, action) = (version.to_owned(), action.to_owned());
        let asked = Asked { version, action, format: format.into(), parameters: compared(parameters) };
        if self.by_request.contains_key(&asked) {
            return Looked::Found(Found { replay: self, asked });
        }
        let mut state = self.state();
        let Asked { version, action, format, parameters } = asked;
        let product = Product::of_version(&version).map(|product| product.as_str().to_owned());
        state.unmatched.push_back(Unmatched { product, version, action, format, parameters });
        if state.unmatched.len() > UNMATCHED {
            state.unmatched.pop_front();
            state.lost = true;
        }
        if self.only { Looked::Refused } else { Looked::Unknown }
    }

    /// From now on as if nothing had been asked.
    pub(crate) fn rewind(&self) {
        *self.state() = State { used: vec![0; self.recorded.len()], ..State::default() };
    }

    /// The pairs, which of them were used, and what was asked in vain.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let state = self.state();
        let pairs = self.recorded.iter().zip(&state.used).map(|(recorded, used)| Use {
            file: recorded.file.clone(),
            line: recorded.line,
            product: recorded.pair.product.clone(),
            action: recorded.pair.action.clone(),
            parameters: recorded.pair.parameters.clone(),
            status: recorded.pair.status,
            used: *used,
        });
        Shown {
            only: self.only,
            pairs: pairs.collect(),
            unused: state.used.iter().filter(|used| **used == 0).count(),
            unmatched: state.unmatched.iter().cloned().collect(),
            lost: state.lost,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found<'_> {
    /// The next answer that was recorded for it, as one to the request of this id.
    pub(crate) fn answer(self, request_id: &str) -> Answered {
        let places = &self.replay.by_request[&self.asked];
        let mut state = self.replay.state();
        let answered = state.answered.entry(self.asked).or_default();
        let place = places[(*answered).min(places.len() - 1)];
        *answered += 1;
        state.used[place] += 1;
        let pair = &self.replay.recorded[place].pair;
        let recorded_id = pair.request_id.as_deref().filter(|id| id.len() >= ID_CHARS);
        let body = match recorded_id {
            Some(id) => pair.body.replace(id, request_id),
            None => pair.body.clone(),
        };
        Answered { status: pair.status, code: pair.code.clone(), body }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use tongguan_rpc::{HttpRequest, Limits, parse};

    use super::*;

    const HEADING: &str = r#"{"tongguanRecording":1,"of":"http://127.0.0.1:8080"}"#;

    fn line(action: &str, parameters: &str, status: u16, body: &str) -> String {
        format!(
            r#"{{"time":"2026-11-29T12:00:00Z","version":"2016-04-28","action":"{action}","parameters":{parameters},"format":"json","status":{status},"requestId":"00000000-0000-4000-8000-000000000001","body":{body:?}}}"#
        )
    }

    fn replay(lines: &[String], only: bool) -> Replay {
        let text: String = [HEADING]
            .into_iter()
            .chain(lines.iter().map(String::as_str))
            .fold(String::new(), |text, line| text + line + "\n");
        Replay::new(vec![("a.jsonl".to_owned(), Recording::read(&text).unwrap())], only)
    }

    fn look<'r>(replay: &'r Replay, action: &str, query: &str, format: Format) -> Looked<'r> {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let request = HttpRequest { method: &method, path: "/", query, headers: &headers, body: &[] };
        let incoming = parse(request, &Limits::default()).unwrap();
        replay.look("2016-04-28", action, format, incoming.claims().parameters())
    }

    fn body(looked: Looked<'_>) -> String {
        match looked {
            Looked::Found(found) => found.answer("NEW").body,
            Looked::Unknown => "unknown".to_owned(),
            Looked::Refused => "refused".to_owned(),
        }
    }

    #[test]
    fn answers_come_in_their_order_and_the_last_stays() {
        let id = "00000000-0000-4000-8000-000000000001";
        let lines = [
            line("DescribeVpcs", r#"{"RegionId":"cn-hangzhou"}"#, 200, &format!("first {id}")),
            line("DescribeVpcs", r#"{"RegionId":"cn-beijing"}"#, 200, "other"),
            line("DescribeVpcs", r#"{"RegionId":"cn-hangzhou"}"#, 404, "second"),
        ];
        let replay = replay(&lines, false);
        let ask = |query| body(look(&replay, "DescribeVpcs", query, Format::Json));
        assert_eq!(ask("RegionId=cn-hangzhou"), "first NEW");
        // Neither of these is part of a request.
        assert_eq!(ask("RegionId=cn-hangzhou&ClientToken=x&SignatureNonce=1&Timestamp=2"), "second");
        assert_eq!(ask("RegionId=cn-hangzhou"), "second");
        assert_eq!(ask("RegionId=cn-shanghai"), "unknown");
        assert_eq!(body(look(&replay, "DescribeVpcs", "RegionId=cn-beijing", Format::Xml)), "unknown");
        let shown = replay.shown();
        assert_eq!(shown.pairs.iter().map(|pair| pair.used).collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!((shown.unused, shown.unmatched.len(), shown.lost), (1, 2, false));
        assert_eq!((shown.pairs[2].line, shown.unmatched[0].product.as_deref()), (4, Some("Vpc")));
        replay.rewind();
        assert_eq!(ask("RegionId=cn-hangzhou"), "first NEW");
        assert_eq!(replay.shown().unmatched.len(), 0);
    }

    #[test]
    fn any_secret_fits_and_what_is_unknown_may_be_refused() {
        let lines = [line("CreateVpnConnection", r#"{"IkeConfig":"{\"Psk\":\"***\"}"}"#, 200, "made")];
        let replay = replay(&lines, true);
        let ask = |query| body(look(&replay, "CreateVpnConnection", query, Format::Json));
        assert_eq!(ask("IkeConfig=%7B%22Psk%22:%22s3cret%22%7D"), "made");
        assert_eq!(ask("IkeConfig=%7B%22Psk%22:%22another%22%7D"), "made");
        assert_eq!(ask("IkeConfig=%7B%22Psk%22:%22s3cret%22,%22IkeVersion%22:%22ikev2%22%7D"), "refused");
        let shown = format!("{:?}", replay.shown());
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn only_so_many_requests_in_vain_are_kept() {
        let replay = replay(&[], true);
        for number in 0..=UNMATCHED {
            assert_eq!(
                body(look(&replay, "DescribeVpcs", &format!("PageNumber={number}"), Format::Json)),
                "refused"
            );
        }
        let shown = replay.shown();
        assert_eq!((shown.unmatched.len(), shown.lost), (UNMATCHED, true));
        assert_eq!(shown.unmatched[0].parameters["PageNumber"], "1");
    }

    #[test]
    fn a_damaged_recording_is_refused_by_its_line() {
        let good = line("DescribeVpcs", "{}", 200, "{}");
        let whole = format!("{HEADING}\n{good}\n");
        // A recorder that was killed leaves part of a line.
        let cut = Recording::read(&format!("{whole}{}", &good[..good.len() - 3])).unwrap();
        assert_eq!((cut.pairs.len(), cut.whole), (1, whole.len()));
        assert_eq!(cut.pairs[0].0, 2);
        for (text, told) in [
            (String::new(), "it is empty"),
            (format!("{good}\n"), "line 1 is not that of a recording"),
            ("{\"tongguanRecording\":2,\"of\":\"x\"}\n".to_owned(), "form 2"),
            (format!("{whole}{{\n{good}\n"), "line 3: EOF"),
            (format!("{whole}\n{good}\n"), "line 3: EOF"),
            (format!("{whole}{}\n", &good[..good.len() - 3]), "line 3: EOF while parsing"),
            (format!("{whole}{}\n", good.replace(":200", ":99")), "line 3: status 99"),
            (format!("{whole}{}\n", good.replace("DescribeVpcs", "")), "line 3: action and version"),
            (format!("{whole}{}\n", good.replace("\"json\"", "\"yaml\"")), "line 3: unknown variant `yaml`"),
            (
                format!("{whole}{}\n", good.replace("\"action\"", "\"operation\"")),
                "line 3: unknown field `operation`",
            ),
        ] {
            let error = Recording::read(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}
