//! The answer of an operation: structs that are written as the page has the response.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use super::names;
use super::page::Page;

/// A member's value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text,
    Integer,
    Flag,
    /// A text that is wiped and never printed.
    Secret,
    /// Names and texts that are the data's own.
    Map,
    List(Box<Node>),
    Object(BTreeMap<String, Node>),
}

/// Objects that several operations share.
#[derive(Default)]
pub(crate) struct Shapes(BTreeMap<String, Shape>);

#[derive(Default)]
struct Shape {
    members: BTreeMap<String, Member>,
    order: Vec<String>,
    /// In how many places it stands.
    places: usize,
    /// Whether it is the root of an answer, which carries the request's id.
    root: bool,
}

#[derive(Debug, Clone)]
struct Member {
    /// Rust type of the value.
    kind: String,
    /// Name of the list in a wrapper object: `{"Tags": {"Tag": [...]}}`.
    wrapped: Option<String>,
    optional: bool,
    /// In how many places it stands.
    places: usize,
}

const REQUEST_ID: &str = "RequestId";

/// The output of an operation. Shared objects are noted, to be written at the end.
pub(crate) fn of(page: &Page, shapes: &mut Shapes) -> Result<String> {
    let root = tree(page)?;
    let Node::Object(members) = &root else { bail!("the response is no object") };
    let mut text = String::new();
    let output = format!("{}Output", page.action);
    let used = Walk { page, shapes, text: &mut text, paths: BTreeSet::new() };
    let used = used.all(members, &output)?;
    let ours = page.ours()?;
    let answer = &ours.answer;
    let named = answer.order.keys().chain(answer.shapes.keys()).chain(&answer.optional);
    let typed = answer.types.keys().chain(ours.retypes.keys());
    for path in named.chain(typed).chain(ours.always_empty.keys()) {
        ensure!(used.contains(path.as_str()), "`{path}` is no path of the answer");
    }
    Ok(text)
}

/// The response as a tree, without what is omitted and with what is added.
fn tree(page: &Page) -> Result<Node> {
    let ours = page.ours()?;
    let mut root = Node::Object(BTreeMap::new());
    for path in ours.omits.keys() {
        ensure!(
            page.response.iter().any(|member| within(&member.path, path)),
            "`{path}` is omitted and not in the response"
        );
    }
    let documented =
        page.response.iter().filter(|member| !ours.omits.keys().any(|path| within(&member.path, path)));
    let documented = documented.map(|member| {
        let retyped = ours.retypes.get(&member.path).map(|retyped| &retyped.kind);
        (&member.path, retyped.unwrap_or(&member.kind))
    });
    for (path, kind) in documented.chain(ours.adds.iter().map(|(path, added)| (path, &added.kind))) {
        let kind = ours.answer.types.get(path).unwrap_or(kind);
        put(&mut root, path, kind).with_context(|| path.clone())?;
    }
    if let Node::Object(members) = &mut root {
        members.entry(REQUEST_ID.into()).or_insert(Node::Text);
    }
    Ok(root)
}

/// Whether a path is another one, or lies under it.
fn within(path: &str, other: &str) -> bool {
    path.strip_prefix(other)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("[]"))
}

fn put(root: &mut Node, path: &str, kind: &str) -> Result<()> {
    let leaf = match kind {
        "string" => Node::Text,
        "integer" | "long" => Node::Integer,
        "boolean" => Node::Flag,
        "secret" => Node::Secret,
        "map" => Node::Map,
        other => bail!("type {other}"),
    };
    let mut at = root;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let (name, list) = part.strip_suffix("[]").map_or((part, false), |name| (name, true));
        let value = if parts.peek().is_some() { Node::Object(BTreeMap::new()) } else { leaf.clone() };
        let Node::Object(members) = at else { bail!("{name}: not in an object") };
        let entry = members.entry(name.to_owned());
        at = entry.or_insert_with(|| if list { Node::List(Box::new(value)) } else { value });
        if let Node::List(item) = at {
            at = item;
        }
    }
    Ok(())
}

struct Walk<'p, 's> {
    page: &'p Page,
    shapes: &'s mut Shapes,
    text: &'s mut String,
    paths: BTreeSet<String>,
}

impl Walk<'_, '_> {
    fn all(mut self, members: &BTreeMap<String, Node>, output: &str) -> Result<BTreeSet<String>> {
        self.paths.insert(String::new());
        let shape = self.shape("", members)?;
        let shared = self.page.ours()?.answer.shapes.get("").cloned();
        match shared {
            Some(name) => {
                self.share(&name, Shape { root: true, ..shape })?;
                writeln!(self.text, "/// Output of {}.\npub type {output} = {name};\n", self.page.action)?;
            }
            None => {
                let shape = Shape { root: true, ..shape };
                let about = format!("Output of {}.", self.page.action);
                self.text.push_str(&shape.text(output, &about)?);
            }
        }
        Ok(self.paths)
    }

    /// The members of an object; objects in it are written, or noted, before.
    fn shape(&mut self, path: &str, members: &BTreeMap<String, Node>) -> Result<Shape> {
        let answer = &self.page.ours()?.answer;
        let order: Vec<String> = match answer.order.get(path) {
            Some(order) => order.clone(),
            None => members.keys().cloned().collect(),
        };
        let listed: BTreeSet<_> = order.iter().collect();
        ensure!(
            listed == members.keys().collect() && listed.len() == order.len(),
            "order of `{path}`: {order:?} are not its members {:?}",
            members.keys().collect::<Vec<_>>()
        );
        let optional = answer.optional.clone();
        let mut known = BTreeMap::new();
        for (name, node) in members {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.paths.insert(below.clone());
            let (kind, wrapped) = match node {
                // An object around one list is not worth a type.
                Node::Object(inner)
                    if inner.len() == 1 && !self.page.ours()?.answer.shapes.contains_key(&below) =>
                {
                    match inner.iter().next() {
                        Some((list, Node::List(item))) => {
                            let below = format!("{below}.{list}");
                            self.paths.insert(below.clone());
                            (format!("Vec<{}>", self.kind(&format!("{below}[]"), item)?), Some(list.clone()))
                        }
                        _ => (self.kind(&below, node)?, None),
                    }
                }
                _ => (self.kind(&below, node)?, None),
            };
            known.insert(
                name.clone(),
                Member { kind, wrapped, optional: optional.contains(&below), places: 1 },
            );
        }
        Ok(Shape { members: known, order, places: 1, root: false })
    }

    /// The Rust type of a value.
    fn kind(&mut self, path: &str, node: &Node) -> Result<String> {
        self.paths.insert(path.to_owned());
        Ok(match node {
            Node::Text => "Text".into(),
            Node::Integer => "i64".into(),
            Node::Flag => "bool".into(),
            Node::Secret => "operation::Disclosed".into(),
            Node::Map => "std::collections::BTreeMap<String, String>".into(),
            Node::List(item) => format!("Vec<{}>", self.kind(&format!("{path}[]"), item)?),
            Node::Object(members) => {
                let shape = self.shape(path, members)?;
                match self.page.ours()?.answer.shapes.get(path).cloned() {
                    Some(name) => {
                        self.share(&name, shape)?;
                        name
                    }
                    None => {
                        let joined = path.replace("[]", "").replace('.', "");
                        let name = format!("{}{joined}", self.page.action);
                        let about = format!("`{path}` of {}.", self.page.action);
                        self.text.push_str(&shape.text(&name, &about)?);
                        name
                    }
                }
            }
        })
    }

    /// Notes one more place of a shared object.
    fn share(&mut self, name: &str, shape: Shape) -> Result<()> {
        let known = self.shapes.0.entry(name.to_owned()).or_default();
        for (member, here) in shape.members {
            let there = known.members.entry(member.clone()).or_insert(Member { places: 0, ..here.clone() });
            ensure!(
                there.kind == here.kind && there.wrapped == here.wrapped,
                "{name}.{member}: {here:?} here, {there:?} elsewhere"
            );
            there.optional |= here.optional;
            there.places += 1;
        }
        // A longer list of members says more of the order.
        for member in &shape.order {
            if !known.order.contains(member) {
                let before = shape.order.iter().take_while(|other| *other != member).last();
                let at = before.and_then(|before| known.order.iter().position(|known| known == before));
                known.order.insert(at.map_or(0, |at| at + 1), member.clone());
            }
        }
        known.places += 1;
        known.root |= shape.root;
        Ok(())
    }
}

impl Shapes {
    /// The shared objects: what does not stand in every place is optional.
    pub(crate) fn text(mut self) -> Result<String> {
        let mut text = String::new();
        for (name, shape) in &mut self.0 {
            for (member, known) in &mut shape.members {
                known.optional |= known.places < shape.places && member != REQUEST_ID;
            }
            text.push_str(&shape.text(name, "An object that several answers have.")?);
        }
        Ok(text)
    }
}

impl Shape {
    /// The struct and how it is written.
    fn text(&self, name: &str, about: &str) -> Result<String> {
        let (mut fields, mut writes, mut always, mut maybe) =
            (String::new(), String::new(), 0, String::new());
        for member in &self.order {
            let known = self.members.get(member).context("a member without an entry")?;
            if self.root && member == REQUEST_ID {
                maybe.push_str(" + usize::from(request_id.is_some())");
                writes.push_str(
                    "if let Some(id) = request_id { object.serialize_field(\"RequestId\", id)?; }\n",
                );
                continue;
            }
            let field = names::field(member);
            let kind = if known.optional { format!("Option<{}>", known.kind) } else { known.kind.clone() };
            writeln!(fields, "/// `{member}`.\npub {field}: {kind},")?;
            let value = |value: &str| match &known.wrapped {
                Some(list) => format!("&operation::Wrapped({list:?}, {value})"),
                None => value.to_owned(),
            };
            if known.optional {
                write!(maybe, " + usize::from(self.{field}.is_some())")?;
                writeln!(
                    writes,
                    "if let Some(value) = &self.{field} {{ object.serialize_field({member:?}, {})?; }}",
                    value("value")
                )?;
            } else {
                always += 1;
                writeln!(
                    writes,
                    "object.serialize_field({member:?}, {})?;",
                    value(&format!("&self.{field}"))
                )?;
            }
        }
        let derives = "#[derive(Debug, Clone, Default, PartialEq, Eq)]";
        let body = format!(
            "let mut object = serializer.serialize_struct({name:?}, {always}{maybe})?;\n{writes}object.end()"
        );
        let mut text = format!("/// {about}\n{derives}\npub struct {name} {{\n{fields}}}\n\n");
        if self.root {
            write!(
                text,
                "impl Output for {name} {{\nfn write<S: Serializer>(&self, request_id: Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {{\n{body}\n}}\n}}\n\n"
            )?;
        }
        if !self.root || self.places > 1 {
            let body = if self.root { "self.write(None, serializer)".to_owned() } else { body };
            write!(
                text,
                "impl Serialize for {name} {{\nfn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{\n{body}\n}}\n}}\n\n"
            )?;
        }
        Ok(text)
    }
}
