//! The input of an operation: a struct, and the reader that checks its parameters.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use super::names;
use super::page::{Common, CommonParameter, Emptied, Handler, OwnParameter, Page, ParameterEntry, Rule};

/// Parameters that the order of checks reads for every operation.
const READ_BY_ALL: [&str; 2] = ["ClientToken", "DryRun"];
/// What tags are called: to write or to look for, and those of a new resource.
const TAGS: [&str; 2] = ["Tag", "Tags"];
/// Greatest page number.
const PAGES: u64 = 1_000_000_000;

/// A parameter with everything that is known of it.
pub(crate) struct Parameter {
    name: String,
    shape: &'static str,
    required: bool,
    about: String,
    empty: Option<Emptied>,
    rule: Rule,
    /// Whence it is known, as the catalogue of codes says it.
    origin: &'static str,
}

/// A field of the input and how it is read.
struct Field {
    /// Type; none: nothing is kept.
    kind: Option<String>,
    /// An expression, or statements if nothing is kept.
    read: String,
}

/// The parameters that an operation takes, in the order in which they are missed.
pub(crate) fn parameters(page: &Page, common: &Common) -> Result<Vec<Parameter>> {
    let ours = page.ours()?;
    let taken = ours.parameters.iter().map(|entry| parameter(page, entry, common));
    let taken = taken.collect::<Result<Vec<_>>>()?;
    for documented in page.parameters.iter().filter(|known| known.documented && !known.wire.contains(".N.")) {
        let name = documented.wire.trim_end_matches(".N");
        ensure!(taken.iter().any(|known| known.name == name), "documented parameter {name} is not taken");
    }
    for (at, one) in taken.iter().enumerate() {
        ensure!(taken[at + 1..].iter().all(|other| other.name != one.name), "{} stands twice", one.name);
    }
    for name in ours.read_order.iter().chain(&ours.subject) {
        ensure!(taken.iter().any(|known| known.name == *name), "{name} is no parameter");
    }
    Ok(taken)
}

fn parameter(page: &Page, entry: &ParameterEntry, common: &Common) -> Result<Parameter> {
    let plain;
    let own = match entry {
        ParameterEntry::Whole(own) => own.as_ref(),
        ParameterEntry::Name(name) => {
            plain = OwnParameter { name: name.clone(), ..OwnParameter::default() };
            &plain
        }
    };
    let name = &own.name;
    let documented = page.parameters.iter().find(|known| known.wire.trim_end_matches(".N") == name);
    let shape = match (own.shape.as_deref(), documented.map(|known| known.kind.as_str())) {
        (Some("text"), _) | (None, Some("string" | "float")) => "Text",
        (Some("integer"), _) | (None, Some("integer" | "long")) => "Integer",
        (Some("boolean"), _) | (None, Some("boolean")) => "Boolean",
        (Some("list"), _) | (None, Some("array<string>")) => "List",
        (Some("structures"), _) => "Structures",
        (Some("tags"), _) => "Tags",
        (None, Some("array<object>")) if TAGS.contains(&name.as_str()) => "Tags",
        (None, Some("array<object>")) => "Structures",
        (Some("json"), _) | (None, Some("json-string")) => "Json",
        (shape, kind) => bail!("{name}: shape {shape:?}, type {kind:?}"),
    };
    if documented.is_some_and(|known| known.documented) {
        ensure!(own.shape.is_none() && own.required.is_none(), "{name}: its page says what it is");
    }
    let required = own.required.or(documented.map(|known| known.required)).unwrap_or(false);
    let common = common.parameter(&page.product, name);
    let about = own.about.as_deref().or_else(|| common.map(CommonParameter::about));
    let about = about.with_context(|| format!("{name}: `about` is missing"))?.to_owned();
    let rule = match own.rule.as_ref().or_else(|| common.and_then(CommonParameter::rule)) {
        Some(rule) => rule.clone(),
        None => usual_rule(name, shape).with_context(|| name.clone())?,
    };
    let origin = match (documented.map(|known| known.documented), &rule) {
        (Some(true), Rule::Refused { .. } | Rule::Ignored { .. }) | (None, _) => "Ours",
        (Some(true), _) => "Documented",
        (Some(false), _) => "Seen",
    };
    Ok(Parameter { name: name.clone(), shape, required, about, empty: own.empty.clone(), rule, origin })
}

/// The rule of a parameter that names none.
fn usual_rule(name: &str, shape: &str) -> Result<Rule> {
    let number = |min, max, default| Rule::Number { min: Some(min), max: Some(max), one_of: None, default };
    Ok(match (name, shape) {
        ("RegionId", _) => Rule::Region { code: None, unless: None },
        ("PageNumber", _) => number(1, PAGES, Some(1)),
        ("PageSize", _) => number(1, 50, Some(10)),
        ("MaxItems", _) => number(1, 1_000, Some(100)),
        ("Marker", _) => Rule::Custom {
            with: "crate::marker::row".into(),
            r#type: "Option<i64>".into(),
            given: Vec::new(),
        },
        (_, "Text" | "Json") => Rule::Text { fits: None, code: None, default: None },
        (_, "Boolean") => Rule::Flag { default: None, refuse_true: None },
        (_, "Tags") => Rule::Tags,
        (_, other) => bail!("a parameter of shape {other} needs a rule"),
    })
}

/// The input of an operation, and how it is read.
pub(crate) fn of(page: &Page, common: &Common) -> Result<String> {
    let (ours, action) = (page.ours()?, &page.action);
    let mut parameters = parameters(page, common)?;
    let place = |name: &str| ours.read_order.iter().position(|read| read == name).unwrap_or(usize::MAX);
    let (mut fields, mut inits) = (String::new(), String::new());
    for parameter in parameters.iter().filter(|known| !READ_BY_ALL.contains(&known.name.as_str())) {
        if let Some(kind) = parameter.field()?.kind {
            let field = parameter.field_name();
            let about = names::comment(&format!("`{}`: {}", parameter.name, parameter.about));
            writeln!(fields, "{about}pub {field}: {kind},")?;
            write!(inits, "{field}, ")?;
        }
    }
    parameters.sort_by_key(|parameter| place(&parameter.name));
    let mut reads = String::new();
    for parameter in parameters.iter().filter(|known| !READ_BY_ALL.contains(&known.name.as_str())) {
        let Field { kind, read } = parameter.field()?;
        match kind {
            Some(_) => writeln!(reads, "let {} = {read};", parameter.field_name())?,
            None => writeln!(reads, "{read}")?,
        }
    }
    if ours.any_region {
        fields.push_str("/// The region that the call names.\npub region: Option<&'static Region>,\n");
        inits.push_str("region, ");
        reads.push_str("let region = args.region()?;\n");
    }
    let args = if reads.is_empty() { "_" } else { "args" };
    let name = names::type_name(action);
    let long = if ours.handler()? == Handler::Long {
        " It is read again when the work's turn has come."
    } else {
        ""
    };
    Ok(format!(
        "/// Input of {action}.{long}\n#[derive(Debug, Clone)]\npub struct {name} {{\n{fields}}}\n\n\
         impl Input for {name} {{\nfn read({args}: &Args<'_>) -> Result<Self, Refusal> {{\n{reads}\
         Ok(Self {{ {inits} }})\n}}\n}}\n\n"
    ))
}

impl Parameter {
    /// The entry in the operation's table.
    pub(crate) fn specification(&self) -> String {
        let empty = match &self.empty {
            None => "Empty::Absent".to_owned(),
            Some(Emptied::Sets) => "Empty::Sets".to_owned(),
            Some(Emptied::Refused(code)) => format!("Empty::Refused(&c::{code})"),
        };
        format!(
            "Parameter {{ name: {:?}, shape: Shape::{}, required: {}, about: {:?}, empty: {empty}, origin: c::Origin::{} }},\n",
            self.name, self.shape, self.required, self.about, self.origin
        )
    }

    fn field_name(&self) -> String {
        match &self.rule {
            Rule::Region { .. } => "region".into(),
            _ => names::field(&self.name),
        }
    }

    /// The type of an optional or required value, and the reading of an optional one made to fit.
    fn maybe(&self, kind: &str, read: &str) -> Field {
        let name = &self.name;
        if self.required {
            Field { kind: Some(kind.into()), read: format!("{read}.ok_or_else(|| args.missing({name:?}))?") }
        } else {
            Field { kind: Some(format!("Option<{kind}>")), read: read.into() }
        }
    }

    fn field(&self) -> Result<Field> {
        let name = &self.name;
        let kept = |kind: &str, read: String| Field { kind: Some(kind.into()), read };
        Ok(match &self.rule {
            Rule::Text { fits, code, default } => {
                self.text(fits.as_deref(), code.as_deref(), default.as_deref())?
            }
            Rule::OneOf { words, default } => {
                let read = format!("args.one_of_words({name:?}, &{words:?})?");
                match default {
                    Some(default) => kept("String", format!("{read}.unwrap_or({default:?}).to_owned()")),
                    None => self.maybe("String", &format!("{read}.map(str::to_owned)")),
                }
            }
            Rule::Word { r#type: kind, code: None } => {
                self.maybe(kind, &format!("args.word({name:?}, {kind}::parse)?"))
            }
            Rule::Word { r#type: kind, code: Some(code) } => {
                self.maybe(kind, &format!("args.word_or({name:?}, {kind}::parse, &c::{code})?"))
            }
            Rule::Flag { default, refuse_true } => {
                let read = format!("args.flag({name:?})?");
                match (default, refuse_true) {
                    (None, Some(code)) => Field {
                        kind: None,
                        read: format!("if {read} == Some(true) {{ return Err(Refusal::new(&c::{code})); }}"),
                    },
                    (Some(_), Some(_)) => bail!("{name}: a default of what is refused"),
                    (Some(default), None) => kept("bool", format!("{read}.unwrap_or({default})")),
                    (None, None) => self.maybe("bool", &read),
                }
            }
            Rule::Number { min, max, one_of, default } => {
                let read = match one_of {
                    Some(values) => format!("args.one_of({name:?}, &{values:?})?"),
                    None => {
                        let (min, max) =
                            (min.unwrap_or(0), max.map_or("u64::MAX".into(), |max| max.to_string()));
                        format!("args.number({name:?}, {min}..={max})?")
                    }
                };
                match default {
                    Some(default) => kept("u64", format!("{read}.unwrap_or({default})")),
                    None => self.maybe("u64", &read),
                }
            }
            Rule::Region { code, unless } => self.region(code.as_deref(), unless.as_deref()),
            Rule::List { most: Some(most), quota: None } => {
                kept("Vec<String>", format!("args.list({name:?}, {most})?"))
            }
            Rule::List { most: None, quota: Some(quota) } => {
                kept("Vec<String>", format!("args.list({name:?}, args.quotas().{quota})?"))
            }
            Rule::List { .. } => bail!("{name}: a list has either `most` or a `quota`"),
            Rule::Tags if self.shape == "Json" => kept("Vec<Tag>", format!("args.json_tags({name:?})?")),
            Rule::Tags => kept("Vec<Tag>", format!("args.tags({name:?})?")),
            Rule::TagFilter if self.shape == "Json" => {
                kept("Vec<TagFilter>", format!("args.json_tag_filter({name:?})?"))
            }
            Rule::TagFilter => kept("Vec<TagFilter>", format!("args.tag_filter({name:?})?")),
            Rule::Custom { with, r#type: kind, given } => {
                let given: String = given.iter().map(|other| format!(", &{}", names::field(other))).collect();
                kept(kind, format!("{with}(args, {name:?}{given})?"))
            }
            Rule::Refused { code, because } => self.refused(code.as_deref(), because.as_deref()),
            Rule::Ignored { form } => Field {
                kind: None,
                read: match form.as_deref() {
                    None => String::new(),
                    Some("flag") => format!("args.flag({name:?})?;"),
                    Some("number") => format!("args.number({name:?}, 0..=u64::MAX)?;"),
                    Some(other) => bail!("{name}: form {other}"),
                },
            },
        })
    }

    fn region(&self, code: Option<&str>, unless: Option<&str>) -> Field {
        let name = &self.name;
        let mut read = match code {
            None => "args.region()?".to_owned(),
            Some(code) => format!("args.region_or(&c::{code})?"),
        };
        if let Some(other) = unless {
            read = format!(
                "{{ let region = {read}; if region.is_none() && args.text({other:?}).is_none() \
                 {{ return Err(args.missing({name:?})); }} region }}"
            );
        }
        self.maybe("&'static Region", &read)
    }

    fn refused(&self, code: Option<&str>, because: Option<&str>) -> Field {
        let name = &self.name;
        let because = because.map(|why| format!(".because({why:?})")).unwrap_or_default();
        let read = match code {
            Some(code) => format!(
                "if args.text({name:?}).is_some() {{ return Err(Refusal::new(&c::{code}){because}); }}"
            ),
            None => format!(
                "if let Some(value) = args.text({name:?}) {{ return Err(args.illegal({name:?}, value){because}); }}"
            ),
        };
        Field { kind: None, read }
    }

    fn text(&self, fits: Option<&str>, code: Option<&str>, default: Option<&str>) -> Result<Field> {
        let name = &self.name;
        let sets = matches!(self.empty, Some(Emptied::Sets));
        let mut read = format!("args.{}({name:?})", if sets { "set" } else { "text" });
        match (fits, code) {
            (None, None) => {}
            (Some(fits), Some(code)) => read = format!("args.fitting({read}, {fits}, &c::{code})?"),
            (Some(fits), None) => read = format!("args.fitting_or_illegal({name:?}, {read}, {fits})?"),
            (None, Some(code)) => bail!("{name}: nothing is refused with {code}"),
        }
        Ok(match default {
            Some(default) => Field {
                kind: Some("String".into()),
                read: format!("{read}.unwrap_or({default:?}).to_owned()"),
            },
            None if self.required && !sets => {
                Field { kind: Some("String".into()), read: format!("{read}.unwrap_or_default().to_owned()") }
            }
            None => self.maybe("String", &format!("{read}.map(str::to_owned)")),
        })
    }
}
