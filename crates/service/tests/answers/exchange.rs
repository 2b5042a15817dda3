//! One call and its answer, as they stand on the wire.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};
use tongguan_rpc::{ClientCall, Format, HttpRequest, Placement, Secret, SignatureMethod, Signer};
use tongguan_service::Response;
use tongguan_service::access::Peer;
use tongguan_service::catalogue::Code;
use tongguan_service::context::{Clock as _, iso8601};
use tongguan_service::operation::Kind;

use crate::common::Rig;
use crate::world::Names;

/// An answer, byte for byte, and what it says.
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub warnings: Vec<String>,
    pub request_id: String,
    pub body: String,
    /// The members. In XML every value is a text, and an element that comes several times is a list.
    pub tree: Value,
}

/// A call that is not signed yet.
pub(crate) struct Draft<'a> {
    /// The name of a key of the rig, or of an access key or session among the names; or that itself.
    pub caller: &'a Value,
    pub format: Format,
    pub action: &'a str,
    pub version: &'a str,
    pub parameters: &'a [(String, String)],
}

/// A service, and the names of what is in it.
pub(crate) struct Stage {
    pub rig: Rig,
    pub names: Names,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.tree["Code"].as_str().unwrap_or_default()
    }
}

impl Stage {
    pub(crate) fn new(rig: Rig) -> Self {
        Self { rig, names: Names::new() }
    }

    /// Makes a call, JSON by a form and XML by a query. A second passes after each change, and the engine does what is
    /// due.
    pub(crate) async fn call(&self, draft: &Draft<'_>) -> Answer {
        let (http_method, placement) = match draft.format {
            Format::Json => (Method::POST, Placement::Form),
            Format::Xml => (Method::GET, Placement::Query),
        };
        let request = self.signer(draft.caller).sign(&ClientCall {
            http_method,
            host: "vpc.test",
            action: draft.action,
            version: draft.version,
            parameters: draft.parameters,
            placement,
            format: draft.format,
            timestamp: &iso8601(self.rig.clock.now_ms()),
            nonce: &self.rig.next_nonce(),
        });
        let headers = request.headers.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::try_from(value).unwrap())
        });
        let headers: HeaderMap = headers.collect();
        let query = request.path_and_query.split_once('?').map_or("", |(_, query)| query);
        self.send(&request.method, query, &headers, &request.body).await
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Answer {
        let request = HttpRequest { method, path: "/", query, headers, body };
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), secure: false };
        let response = self.rig.service.answer(request, peer).await;
        self.answered(response).await
    }

    /// The answer to what cannot be read.
    pub(crate) async fn refuse(&self, code: &'static Code) -> Answer {
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), secure: false };
        let response = self.rig.service.refuse("vpc.test", peer, code).await;
        self.answered(response).await
    }

    async fn answered(&self, response: Response) -> Answer {
        let changed = response.operation.is_some_and(|known| known.kind() == Kind::Write);
        if changed && response.status == 200 {
            // Things that were made at one moment are listed in any order, by the random end of their ids.
            self.rig.advance(1_000);
        }
        self.drive().await;
        let body = String::from_utf8(response.body).expect("a body in UTF-8");
        let xml = response.content_type.starts_with("text/xml");
        Answer {
            status: response.status,
            content_type: response.content_type,
            warnings: response.warnings,
            request_id: response.request_id,
            tree: if xml { xml_tree(&body) } else { serde_json::from_str(&body).expect("a body in JSON") },
            body,
        }
    }

    /// Steps every change that is due, as the engine does beside a server.
    async fn drive(&self) {
        let now_ms = self.rig.clock.now_ms();
        let due = self.rig.store().read(|snapshot| snapshot.intents_due(now_ms, 1000)).unwrap();
        for intent in due {
            self.rig.service.engine().step(&intent.resource).await.unwrap();
        }
    }

    fn signer(&self, caller: &Value) -> Signer {
        let named = caller.as_str().and_then(|name| self.names.get(name)).filter(|value| value.is_object());
        let key = named.unwrap_or(caller);
        let text = |name: &str| key[name].as_str().map(str::to_owned);
        let (id, secret) = match key.as_str() {
            Some("forger") => ("root".to_owned(), "not-the-secret".to_owned()),
            Some(name) => (name.to_owned(), format!("{name} secret")),
            None => (text("AccessKeyId").unwrap(), text("AccessKeySecret").unwrap()),
        };
        Signer {
            access_key_id: id,
            secret: Secret::from(secret.as_str()),
            security_token: text("SecurityToken"),
            method: SignatureMethod::HmacSha1,
        }
    }
}

/// The elements below the root of a document.
pub(crate) fn xml_tree(text: &str) -> Value {
    let mut reader = Reader::from_str(text);
    // Of each open element its name, its elements and its text.
    let mut open = vec![(String::new(), Map::new(), String::new())];
    loop {
        let event = reader.read_event().unwrap_or_else(|error| panic!("{error}: {text}"));
        let (_, _, content) = open.last_mut().expect("the document itself");
        match event {
            Event::Start(start) => open.push((start.name().0.to_owned(), Map::new(), String::new())),
            Event::Empty(empty) => panic!("<{}/> is not written by this service", empty.name().0),
            Event::Text(piece) => content.push_str(&piece.xml10_content()),
            Event::GeneralRef(name) => {
                let named = match &*name {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => name.resolve_char_ref().unwrap(),
                };
                content.push(named.unwrap_or_else(|| panic!("&{};", &*name)));
            }
            Event::End(_) => {
                let (name, elements, content) = open.pop().expect("an open element");
                let value = if elements.is_empty() {
                    Value::String(content)
                } else {
                    assert_eq!(content.trim(), "", "text beside elements in {name}");
                    Value::Object(elements)
                };
                let (_, around, _) = open.last_mut().expect("the document itself");
                match around.get_mut(&name) {
                    None => drop(around.insert(name, value)),
                    Some(Value::Array(items)) => items.push(value),
                    Some(first) => *first = Value::Array(vec![first.take(), value]),
                }
            }
            Event::Eof => break,
            Event::Decl(_) => {}
            other => panic!("{other:?} in {text}"),
        }
    }
    let (_, document, _) = open.pop().expect("the document itself");
    document.into_iter().next().expect("a root").1
}
