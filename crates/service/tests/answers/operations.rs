//! Every operation: what it answers when all is well, and to each thing that can be wrong with a call.
//!
//! The calls are made up from the table of operations when a recording is written. A replay makes the calls that
//! stand in the recording, so that a change of the table cannot hide a change of an answer.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tongguan_rpc::Format;
use tongguan_service::operation::{self, DryRun, Kind, Operation, Product};

use crate::common::{Closed, Rig};
use crate::exchange::{Answer, Draft, Stage};
use crate::mask::Mask;
use crate::scenario::prepare;
use crate::tape::{CALL, Tape, folder, recording};
use crate::world::{Names, Sample, World, in_place};
use crate::wrong::{self, Parameters};

/// Before a call on a new copy of the world.
const FRESH: &str = "~";
/// Operations that are played at one time.
const AT_ONCE: usize = 4;

/// A world that is copied for every recording, and whenever a call has changed it.
pub(crate) struct Template {
    data: Closed,
    names: Names,
}

impl Template {
    pub(crate) async fn get() -> Arc<Self> {
        static TEMPLATE: OnceCell<Arc<Template>> = OnceCell::const_new();
        Arc::clone(TEMPLATE.get_or_init(|| async { Arc::new(Self::new().await) }).await)
    }

    async fn new() -> Self {
        let World { rig, mut names } = World::new().await;
        names.insert("spare".into(), rig.certificate("EC_SM2").await.into());
        let mut stage = Stage { rig, names };
        prepare(&mut stage, include_str!("world.json")).await;
        let Stage { rig, names } = stage;
        Self { data: tokio::task::block_in_place(|| rig.closed()), names }
    }

    pub(crate) fn copy(&self) -> Stage {
        Stage { rig: Rig::on_copy(&self.data), names: self.names.clone() }
    }
}

/// A call as it stands in a recording.
pub(crate) struct Asked {
    pub caller: String,
    pub format: Format,
    /// `Product.Action`.
    pub call: String,
    /// As on the wire, names not yet in place.
    pub parameters: Parameters,
}

impl Asked {
    fn line(&self) -> String {
        let parameters: Map<String, Value> =
            self.parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let format = match self.format {
            Format::Json => "json",
            Format::Xml => "xml",
        };
        format!("{} {format} {} {}", self.caller, self.call, Value::Object(parameters))
    }

    fn read(line: &str) -> Self {
        let mut words = line.splitn(4, ' ');
        let mut next = || words.next().expect("caller, format, operation and parameters");
        let (caller, format, call) = (next().to_owned(), next(), next().to_owned());
        let format = if format == "xml" { Format::Xml } else { Format::Json };
        let parameters: Map<String, Value> = serde_json::from_str(next()).expect("parameters");
        let parameters =
            parameters.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect();
        Self { caller, format, call, parameters }
    }
}

/// A recording that is being made of one operation.
struct Run {
    template: Arc<Template>,
    stage: Stage,
    tape: Tape,
    /// How many calls have changed the world.
    changes: usize,
}

impl Run {
    fn new(template: Arc<Template>, recording: &str) -> Self {
        let stage = template.copy();
        let tape = Tape::new(recording, Mask::with(&template.names));
        Self { template, stage, tape, changes: 0 }
    }

    fn refresh(&mut self) {
        self.tape.say(FRESH);
        self.stage = self.template.copy();
        self.changes = 0;
    }

    /// Makes a call in the world as it is.
    async fn follow(&mut self, asked: &Asked) -> Answer {
        let (product, action) = asked.call.split_once('.').expect("Product.Action");
        let product = Product::ALL.iter().find(|known| known.as_str() == product).expect("a product");
        let parameters = in_place(&asked.parameters, &self.stage.names);
        let caller = json!(asked.caller);
        let version = product.version();
        let draft = Draft { caller: &caller, format: asked.format, action, version, parameters: &parameters };
        let answer = self.stage.call(&draft).await;
        self.tape.note(&asked.line(), &answer);
        self.stage.names.insert("last".into(), answer.tree.clone());
        let write = operation::find(*product, action).is_some_and(|known| known.kind() == Kind::Write);
        self.changes += usize::from(answer.status == 200 && write);
        answer
    }

    /// Makes a call in a world in which it can still succeed.
    async fn ask(&mut self, asked: &Asked) -> Answer {
        if self.changes >= borne(&asked.call) {
            self.refresh();
        }
        self.follow(asked).await
    }

    async fn replay(mut self, text: &str) -> Result<usize, String> {
        for line in text.lines() {
            if line == FRESH {
                self.refresh();
            } else if let Some(call) = line.strip_prefix(CALL) {
                self.follow(&Asked::read(call)).await;
            } else if let Some(title) = line.strip_prefix("# ") {
                self.tape.say(&format!("# {title}"));
            }
        }
        self.tape.end()
    }
}

/// The calls of one operation are made up as its answers come.
struct Author {
    run: Run,
    operation: &'static Operation,
    call: String,
    sample: Sample,
}

impl Author {
    fn asked(&self, caller: &str, format: Format, parameters: &[(String, String)]) -> Asked {
        Asked { caller: caller.to_owned(), format, call: self.call.clone(), parameters: parameters.to_vec() }
    }

    /// A call in JSON by who may make it.
    async fn ask(&mut self, parameters: &[(String, String)]) -> Answer {
        let asked = self.asked(&self.sample.caller, Format::Json, parameters);
        self.run.ask(&asked).await
    }

    async fn write(mut self) -> Result<usize, String> {
        self.successes().await;
        self.callers().await;
        self.absent().await;
        let wrong = self.one_wrong().await;
        self.two_wrong(&wrong).await;
        self.dry_runs(&wrong).await;
        self.tokens().await;
        self.in_xml(&wrong).await;
        self.run.tape.end()
    }

    async fn successes(&mut self) {
        self.run.tape.say("# all is well");
        let samples = [Some(self.sample.clone()), Sample::full(self.operation)];
        for sample in samples.into_iter().flatten() {
            for format in [Format::Json, Format::Xml] {
                let asked = self.asked(&sample.caller, format, &sample.parameters);
                self.run.ask(&asked).await;
                for (call, parameters) in Sample::then(self.operation) {
                    let asked = Asked { caller: "root".into(), format, call, parameters };
                    self.run.follow(&asked).await;
                }
            }
        }
    }

    async fn callers(&mut self) {
        self.run.tape.say("# who may not, and whose it is not");
        let sample = self.sample.parameters.clone();
        for (caller, parameters) in [
            ("nobody", sample.as_slice()),
            ("nobody", &[]),
            ("observer", &sample),
            ("stranger", &sample),
            ("session", &sample),
        ] {
            let asked = self.asked(caller, Format::Json, parameters);
            self.run.ask(&asked).await;
        }
    }

    async fn absent(&mut self) {
        self.run.tape.say("# parameters that are not there");
        let required: Vec<_> = self.operation.parameters.iter().filter(|known| known.required).collect();
        let sample = self.sample.parameters.clone();
        // Each by itself, and then one after the other is added: so the order in which they are missed is seen.
        for parameter in &required {
            self.ask(&wrong::without(&sample, parameter.name)).await;
        }
        for number in 0..required.len() {
            let mut parameters = sample.clone();
            for parameter in &required[number..] {
                parameters = wrong::without(&parameters, parameter.name);
            }
            self.ask(&parameters).await;
        }
        let mut more = sample.clone();
        more.push(("OwnerId".into(), "1".into()));
        self.ask(&more).await;
    }

    /// Every parameter wrong by itself; answers for each the first value of every code that it is refused with.
    async fn one_wrong(&mut self) -> Vec<Vec<(String, Parameters)>> {
        let mut found = Vec::new();
        for parameter in self.operation.parameters {
            self.run.tape.say(&format!("# wrong: {}", parameter.name));
            let mut refusals: Vec<(String, Parameters)> = Vec::new();
            let good =
                self.sample.parameters.iter().find(|(name, _)| wrong::is_of(name, parameter.name)).cloned();
            let mut values = wrong::values(parameter, good.as_ref().map(|(_, value)| value.as_str()));
            values.extend(self.unknown(parameter.name));
            let mut tried = BTreeSet::new();
            for value in values {
                if !tried.insert(value.clone()) {
                    continue;
                }
                let parameters = wrong::with(&self.sample.parameters, parameter.name, &value);
                let answer = self.ask(&parameters).await;
                let code = answer.code().to_owned();
                let known = refusals.iter().any(|(known, _)| *known == code);
                if answer.status != 200 && !known && !code.starts_with("Missing") {
                    refusals.push((code, value));
                }
            }
            found.push(refusals);
        }
        found
    }

    /// The parameter with the name of something that is not there.
    fn unknown(&self, parameter: &str) -> Vec<Parameters> {
        let names = &self.run.template.names;
        let mut unknown = Vec::new();
        for (name, value) in in_place(&self.sample.parameters, names) {
            if wrong::is_of(&name, parameter)
                && let Some(other) = crate::world::unknown(names, &value)
            {
                unknown.push(vec![(name, other)]);
            }
        }
        unknown
    }

    /// Each pair of neighbours wrong, and each that names nothing beside every other one.
    async fn two_wrong(&mut self, wrong: &[Vec<(String, Parameters)>]) {
        self.run.tape.say("# two are wrong");
        let refused: Vec<_> = (0..wrong.len()).filter(|place| !wrong[*place].is_empty()).collect();
        let missing = |code: &str| code.contains("NotFound") || code.contains("NotExist");
        let mut pairs = BTreeSet::new();
        for (at, first) in refused.iter().enumerate() {
            for second in &refused[at + 1..] {
                let neighbours = refused[at + 1] == *second;
                let (a, b) = (&wrong[*first], &wrong[*second]);
                for (x, (code, _)) in a.iter().enumerate() {
                    for (y, (other, _)) in b.iter().enumerate() {
                        let first_of_each = x == 0 && y == 0;
                        let named = (missing(code) && y == 0) || (missing(other) && x == 0);
                        if first_of_each && (neighbours || refused.len() <= 7) || named {
                            pairs.insert((*first, x, *second, y));
                        }
                    }
                }
            }
        }
        for (first, x, second, y) in pairs {
            let names = [self.operation.parameters[first].name, self.operation.parameters[second].name];
            let parameters = wrong::with(&self.sample.parameters, names[0], &wrong[first][x].1);
            let parameters = wrong::with(&parameters, names[1], &wrong[second][y].1);
            self.ask(&parameters).await;
        }
    }

    async fn dry_runs(&mut self, wrong: &[Vec<(String, Parameters)>]) {
        if self.operation.dry_run == DryRun::None {
            return;
        }
        self.run.tape.say("# dry runs");
        let dry = |parameters: &[(String, String)]| {
            wrong::with(parameters, "DryRun", &vec![("DryRun".to_owned(), "true".to_owned())])
        };
        let sample = dry(&self.sample.parameters);
        for caller in ["root", "nobody", "stranger"] {
            let asked = self.asked(caller, Format::Json, &sample);
            self.run.ask(&asked).await;
        }
        if let Some(full) = Sample::full(self.operation) {
            self.ask(&dry(&full.parameters)).await;
        }
        for (parameter, refusals) in self.operation.parameters.iter().zip(wrong) {
            if let Some((_, value)) = refusals.first()
                && parameter.name != "DryRun"
            {
                self.ask(&wrong::with(&sample, parameter.name, value)).await;
            }
        }
    }

    async fn tokens(&mut self) {
        if !self.operation.takes("ClientToken") {
            return;
        }
        self.run.tape.say("# a repeat under a ClientToken");
        let token = vec![("ClientToken".to_owned(), "token".to_owned())];
        let sample = wrong::with(&self.sample.parameters, "ClientToken", &token);
        let mut other = sample.clone();
        other.push(("OwnerId".into(), "1".into()));
        let first = self.asked(&self.sample.caller, Format::Json, &sample);
        self.run.ask(&first).await;
        for (caller, format, parameters) in [
            ("root", Format::Json, &sample),
            ("root", Format::Xml, &sample),
            ("root", Format::Json, &other),
            ("stranger", Format::Json, &sample),
            ("nobody", Format::Json, &sample),
        ] {
            let asked = self.asked(caller, format, parameters);
            self.run.follow(&asked).await;
        }
        if self.operation.takes("DryRun") {
            let dry = wrong::with(&sample, "DryRun", &vec![("DryRun".to_owned(), "true".to_owned())]);
            self.ask(&dry).await;
            let asked = self.asked("root", Format::Json, &sample);
            self.run.follow(&asked).await;
        }
    }

    /// Each code once in XML.
    async fn in_xml(&mut self, wrong: &[Vec<(String, Parameters)>]) {
        self.run.tape.say("# refusals in XML");
        let sample = self.sample.parameters.clone();
        let mut calls =
            vec![self.asked("nobody", Format::Xml, &sample), self.asked("stranger", Format::Xml, &sample)];
        if self.operation.parameters.iter().any(|known| known.required) {
            calls.push(self.asked(&self.sample.caller, Format::Xml, &[]));
        }
        let mut codes = BTreeSet::new();
        for (parameter, refusals) in self.operation.parameters.iter().zip(wrong) {
            for (code, value) in refusals {
                if codes.insert(code.clone()) {
                    let parameters = wrong::with(&sample, parameter.name, value);
                    calls.push(self.asked(&self.sample.caller, Format::Xml, &parameters));
                }
            }
        }
        for asked in calls {
            self.run.ask(&asked).await;
        }
    }
}

/// How many successes of an operation a world bears before another one is refused for them. (A new world takes its
/// time.)
fn borne(call: &str) -> usize {
    match call {
        "Vpc.CreateVpc" => 5,
        "Vpc.CreateVpnGateway" => 10,
        "Kms.CreateCertificate" | "Ram.UpdateRole" | "Ram.UpdatePolicyDescription" => usize::MAX,
        // A route is named by what these change of it.
        _ if call.starts_with("Vpc.ModifyVpn") && call.contains("RouteEntry") => 1,
        _ if ["Vpc.Modify", "Vpc.Move", "Vpc.Tag", "Vpc.UnTag", "Ram.Tag", "Ram.Untag"]
            .iter()
            .any(|start| call.starts_with(start)) =>
        {
            usize::MAX
        }
        _ => 1,
    }
}

/// Path of an operation's recording.
pub(crate) fn path(operation: &Operation) -> String {
    format!("{}/{}.txt", operation.product.as_str(), operation.action)
}

/// Plays every operation.
pub(crate) async fn play_all() -> Vec<Result<usize, String>> {
    let template = Template::get().await;
    let (mut running, mut outcomes) = (JoinSet::new(), Vec::new());
    for operation in operation::ALL {
        if running.len() >= AT_ONCE {
            outcomes.push(running.join_next().await.expect("one that runs").unwrap());
        }
        running.spawn(play(Arc::clone(&template), operation));
    }
    outcomes.extend(running.join_all().await);
    outcomes
}

async fn play(template: Arc<Template>, operation: &'static Operation) -> Result<usize, String> {
    let recorded = path(operation);
    let run = Run::new(template, &recorded);
    if !recording() {
        let text = std::fs::read_to_string(folder().join(&recorded)).unwrap_or_default();
        return run.replay(&text).await;
    }
    let call = format!("{}.{}", operation.product.as_str(), operation.action);
    let sample = Sample::minimal(operation);
    Author { run, operation, call, sample }.write().await
}

/// What a recording must have.
#[test]
fn every_operation_and_every_parameter_is_recorded() {
    if recording() {
        // They are being written beside this test.
        return;
    }
    for operation in operation::ALL {
        let text = std::fs::read_to_string(folder().join(path(operation)))
            .unwrap_or_else(|error| panic!("{}: {error}: record it, see answers/README.md", path(operation)));
        let lines: Vec<&str> = text.lines().collect();
        let calls: Vec<(Asked, &str)> = lines
            .windows(2)
            .filter_map(|pair| pair[0].strip_prefix(CALL).map(|call| (Asked::read(call), pair[1])))
            .collect();
        let own = format!("{}.{}", operation.product.as_str(), operation.action);
        let calls: Vec<_> = calls.iter().filter(|(asked, _)| asked.call == own).collect();
        for format in [Format::Json, Format::Xml] {
            let there = |good: bool| {
                calls
                    .iter()
                    .any(|(asked, answer)| asked.format == format && answer.starts_with("200") == good)
            };
            // There is nothing here that they could remove.
            let never = matches!(operation.action, "DeleteLoginProfile" | "UnbindMFADevice");
            assert!(there(true) || never, "{own} has no success in {format:?}");
            let always = operation.action == "GetCallerIdentity";
            assert!(there(false) || always, "{own} has no refusal in {format:?}");
        }
        let sample = Sample::minimal(operation).parameters;
        for parameter in operation.parameters {
            let good: Vec<_> = sample.iter().filter(|(name, _)| wrong::is_of(name, parameter.name)).collect();
            let values: BTreeSet<Vec<&(String, String)>> = calls
                .iter()
                .map(|(asked, _)| {
                    asked.parameters.iter().filter(|(name, _)| wrong::is_of(name, parameter.name)).collect()
                })
                .filter(|value: &Vec<_>| !value.is_empty() && *value != good)
                .collect();
            assert!(values.len() >= 5, "{own}: {} was sent in {} wrong ways", parameter.name, values.len());
        }
    }
}

/// Recordings of what is no more.
#[test]
fn every_recording_is_played() {
    let known: BTreeSet<String> = operation::ALL.iter().map(|operation| path(operation)).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let product = entry.file_name().into_string().unwrap();
        for file in std::fs::read_dir(entry.path()).unwrap() {
            let name = format!("{product}/{}", file.unwrap().file_name().into_string().unwrap());
            if product == "scenarios" {
                let scenario = name["scenarios/".len()..].split('.').next().unwrap().to_owned();
                let mut cases = ["../../conformance/cases", "tests/answers/cases"].into_iter();
                let there = cases.any(|cases| Path::new(cases).join(format!("{scenario}.json")).exists());
                assert!(there, "{name} belongs to no scenario: remove it");
            } else if product != "gate" {
                assert!(known.contains(&name), "{name} belongs to no operation: remove it");
            }
        }
    }
}
