//! Colours, and answers laid out for reading.
//!
//! Laying out works on the text itself and not on a parsed value: the order of members, the spelling of
//! numbers and unknown elements stay what the server sent. Colour is for terminals that can show it; `NO_COLOR`,
//! `CLICOLOR` and `CLICOLOR_FORCE` say otherwise. What a terminal would obey comes out escaped.

use std::fmt::Write as _;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Effects};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::terminal::{harmless_json, harmless_lines};

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Name of a member or an element.
    Name,
    /// A string.
    Text,
    /// A number, `true`, `false` or `null`.
    Literal,
    /// Less important than the rest.
    Dim,
    /// More important than the rest.
    Strong,
    /// As wished.
    Good,
    /// An error.
    Bad,
}

impl Style {
    fn ansi(self) -> anstyle::Style {
        match self {
            Self::Name => AnsiColor::Cyan.on_default(),
            Self::Text | Self::Good => AnsiColor::Green.on_default(),
            Self::Literal => AnsiColor::Yellow.on_default(),
            Self::Dim => Effects::DIMMED.into(),
            Self::Strong => Effects::BOLD.into(),
            Self::Bad => AnsiColor::Red.on_default(),
        }
    }
}

/// Whether to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// For a file or a pipe.
    Plain,
    /// For a terminal.
    Colour,
}

impl Paint {
    /// What suits a stream.
    pub(crate) fn suiting(stream: &impl RawStream) -> Self {
        match AutoStream::choice(stream) {
            ColorChoice::Never => Self::Plain,
            ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => Self::Colour,
        }
    }

    /// `text` in a style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 10);
        self.push(&mut out, style, text);
        out
    }

    fn push(self, out: &mut String, style: Style, text: &str) {
        match self {
            Self::Plain => out.push_str(text),
            Self::Colour => {
                let style = style.ansi();
                // Writing to a string does not fail.
                let _ = write!(out, "{style}{text}{style:#}");
            }
        }
    }

    /// A body with one member or element a line, two blanks for a level, and a newline at the end. What is
    /// neither JSON nor XML comes as it is.
    pub(crate) fn body(self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let laid_out = match text.trim_start().chars().next() {
            Some('<') => self.xml(&text),
            Some(_) => self.json(&text),
            None => return String::new(),
        };
        let mut out = laid_out.unwrap_or_else(|| harmless_lines(&text));
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out
    }

    /// `None` when it is not JSON.
    fn json(self, text: &str) -> Option<String> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        let mut out = String::with_capacity(text.len() * 2);
        let mut depth = 0;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let length = token(rest);
            let (this, after) = rest.split_at(length);
            rest = after;
            let next = rest.trim_ascii_start();
            match c {
                '{' | '[' if next.starts_with(['}', ']']) => {
                    out.push(c);
                    out.extend(next.chars().next());
                    rest = &next[1..];
                }
                '{' | '[' => {
                    depth += 1;
                    out.push(c);
                    line(&mut out, depth);
                }
                '}' | ']' => {
                    depth -= 1;
                    line(&mut out, depth);
                    out.push(c);
                }
                ',' => {
                    out.push(c);
                    line(&mut out, depth);
                }
                ':' => out.push_str(": "),
                '"' if next.starts_with(':') => self.push(&mut out, Style::Name, &harmless_json(this)),
                '"' => self.push(&mut out, Style::Text, &harmless_json(this)),
                _ if c.is_ascii_whitespace() => {}
                _ => self.push(&mut out, Style::Literal, this),
            }
        }
        Some(out)
    }

    /// `None` when it is not XML of the API's kind: elements and text, no attributes.
    fn xml(self, text: &str) -> Option<String> {
        let mut reader = Reader::from_str(text);
        let mut out = String::with_capacity(text.len() * 2);
        let mut depth = 0;
        let mut content = String::new();
        // Whether the last tag was an opening one.
        let mut opened = false;
        loop {
            let event = reader.read_event().ok()?;
            match &event {
                Event::Start(_) | Event::Empty(_) | Event::Decl(_) if !content.trim().is_empty() => {
                    return None;
                }
                Event::Decl(decl) => {
                    self.push(&mut out, Style::Dim, &harmless_lines(&format!("<?{}?>", &**decl)));
                }
                Event::Start(tag) | Event::Empty(tag) => {
                    content.clear();
                    if !out.is_empty() {
                        line(&mut out, depth);
                    }
                    let name: &str = tag;
                    let empty = matches!(event, Event::Empty(_));
                    let end = if empty { "/>" } else { ">" };
                    self.push(&mut out, Style::Name, &harmless_lines(&format!("<{name}{end}")));
                    opened = !empty;
                    depth += usize::from(opened);
                }
                Event::End(tag) => {
                    depth = depth.checked_sub(1)?;
                    if opened {
                        self.push(&mut out, Style::Text, &harmless_lines(&content));
                    } else {
                        line(&mut out, depth);
                    }
                    content.clear();
                    opened = false;
                    self.push(&mut out, Style::Name, &harmless_lines(&format!("</{}>", &**tag)));
                }
                Event::Text(piece) => content.push_str(piece),
                Event::GeneralRef(name) => content.extend(["&", name, ";"]),
                Event::Eof => return (depth == 0).then_some(out),
                Event::CData(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => return None,
            }
        }
    }
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// The length of the JSON token that `text`, which is valid, begins with.
pub(super) fn token(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes {
        [b'"', rest @ ..] => {
            let mut backslash = false;
            let end = rest.iter().position(|byte| {
                let found = *byte == b'"' && !backslash;
                backslash = *byte == b'\\' && !backslash;
                found
            });
            end.map_or(bytes.len(), |end| end + 2)
        }
        [byte, ..] if !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'+' | b'.') => 1,
        _ => {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
            bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_in_its_own_order() {
        let body = br#"{"b":[1,-2.50e+3,true,null],"a":{"t":"x, \"y\": {z}\\","e":{},"f":[ ]},"n":[{"k":"v"},{"k":""}]}"#;
        let expected = r#"{
  "b": [
    1,
    -2.50e+3,
    true,
    null
  ],
  "a": {
    "t": "x, \"y\": {z}\\",
    "e": {},
    "f": []
  },
  "n": [
    {
      "k": "v"
    },
    {
      "k": ""
    }
  ]
}
"#;
        assert_eq!(Paint::Plain.body(body), expected);
        assert_eq!(Paint::Plain.body(expected.as_bytes()), expected);
        for body in ["{}", "[]", "\"text\"", "1", "null", "{ }"] {
            assert_eq!(Paint::Plain.body(body.as_bytes()).trim_end(), body.replace(' ', ""));
        }
    }

    #[test]
    fn what_is_neither_comes_as_it_is() {
        for body in ["{\"a\":}", "Bad gateway", "{", "<html><br></html>", "<a><!-- > --></a>"] {
            assert_eq!(Paint::Colour.body(body.as_bytes()), format!("{body}\n"));
        }
        assert_eq!(Paint::Plain.body(b""), "");
        assert_eq!(Paint::Plain.body(b"a\x1b[2J\r\n"), "a\\u{1b}[2J\\u{d}\n");
    }

    #[test]
    fn xml_is_indented() {
        let body = "<?xml version='1.0' encoding='UTF-8'?><R><A>x &lt; y</A><B><C>1</C><C></C></B><D/><E>a\nb</E></R>";
        let expected = "<?xml version='1.0' encoding='UTF-8'?>\n<R>\n  <A>x &lt; y</A>\n  <B>\n    <C>1</C>\n    \
                        <C></C>\n  </B>\n  <D/>\n  <E>a\nb</E>\n</R>\n";
        assert_eq!(Paint::Plain.body(body.as_bytes()), expected);
        assert_eq!(Paint::Plain.body(expected.as_bytes()), expected);
    }

    #[test]
    fn colour_only_adds_colour() {
        assert_eq!(Paint::Colour.paint(Style::Name, "a"), "\u{1b}[36ma\u{1b}[0m");
        assert_eq!(Paint::Colour.paint(Style::Dim, "a"), "\u{1b}[2ma\u{1b}[0m");
        for body in [&br#"{"a":["b",1],"c":{}}"#[..], b"<R><A>b</A></R>"] {
            let coloured = Paint::Colour.body(body);
            assert!(coloured.contains('\x1b'));
            assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), Paint::Plain.body(body));
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(
            Paint::Plain.body("{\"a\":\"\u{9b}2J\u{7f}\"}".as_bytes()),
            "{\n  \"a\": \"\\u009b2J\\u007f\"\n}\n"
        );
        assert_eq!(Paint::Plain.body("<A>\u{9b}2J</A>".as_bytes()), "<A>\\u{9b}2J</A>\n");
    }
}
