//! The only way to print: text from a caller never controls a terminal, and never looks like a line of ours.
//!
//! There are two barriers. [`harmless`] is for every text that is not ours: it puts it on one line and escapes
//! whatever a terminal would obey, hide or join. [`Screen`] is what all commands print to, and knows nothing of
//! texts: it lets through what a terminal shows, our colours, and one line end for each line that is written, so
//! that even a text that was not escaped cannot forge a line. A test makes sure that no command prints otherwise.
//!
//! If nobody reads any more (`tongguan status | head -1`), that is no error: the command runs to its end in
//! silence, since its exit code may matter. [`Screen::watched`] is for commands that would run for ever.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::process::Stdio;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;
use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_width::UnicodeWidthStr as _;

use super::paint::Paint;
use crate::causes::causes;

/// Whether a terminal would not show a character but obey it, hide it or show something else.
fn hidden(c: char) -> bool {
    use GeneralCategory as Category;
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // Shown as nothing, or as a blank, though they are letters, marks or symbols.
    let blank = matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}'
    ) || matches!(c, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    blank
        || matches!(
            get_general_category(c),
            Category::Control
                | Category::Format
                | Category::LineSeparator
                | Category::ParagraphSeparator
                | Category::SpaceSeparator
                | Category::Surrogate
                | Category::PrivateUse
                | Category::Unassigned
        )
}

/// Text from a caller, on one line: what a terminal would obey or hide is escaped as `\u{1b}`, and so is a space that
/// would look like the end of a column: at the beginning, at the end, and after another.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut after_blank = true;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == ' ' && (after_blank || rest.as_str().is_empty()) || hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        after_blank = c == ' ';
    }
    shown
}

/// Text of several lines that are the sender's own, such as PEM or a foreign page: line ends and spaces stay.
pub(crate) fn harmless_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && hidden(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// JSON with every character escaped that a terminal would obey; it reads as the same value.
pub(crate) fn harmless_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && hidden(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// How many cells of a terminal a text takes: of Chinese, a character takes two.
pub(crate) fn cells(text: &str) -> usize {
    text.width()
}

/// A text with blanks after it up to so many cells.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(cells(text));
    text.chars().chain(std::iter::repeat_n(' ', blanks)).collect()
}

/// Lines whose columns stand below each other, two blanks apart. `numbers` are the columns that end below each other.
pub(crate) fn columns(rows: impl IntoIterator<Item = Vec<String>>, numbers: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

/// Standard output or standard error.
pub(crate) struct Screen {
    stream: Box<dyn Write>,
    paint: Paint,
    /// Nobody reads any more.
    gone: bool,
    /// That is reported as an error.
    watched: bool,
}

/// Standard output.
pub(crate) fn out() -> Screen {
    let stream = io::stdout();
    Screen { paint: Paint::suiting(&stream), stream: Box::new(stream), gone: false, watched: false }
}

/// Standard error.
pub(crate) fn err() -> Screen {
    let stream = io::stderr();
    Screen { paint: Paint::suiting(&stream), stream: Box::new(stream), gone: false, watched: false }
}

/// Where a program that we run prints: to our standard error, whatever it says. It is the user's own.
pub(crate) fn of_a_child() -> Stdio {
    io::stderr().into()
}

/// Whether standard output is a terminal, which a person reads and nobody records.
pub(crate) fn is_watched_by_a_person() -> bool {
    io::stdout().is_terminal()
}

/// Prints an error with its causes on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    tell(&causes(error));
}

/// Prints one line about what is going on, on standard error.
pub(crate) fn tell(what: &str) {
    let mut screen = err();
    let label = screen.paint.paint(super::paint::Style::Bad, "tongguan:");
    // Nothing is left to do if standard error is gone.
    let _ = writeln!(screen, "{label} {}", harmless(what));
}

impl Screen {
    /// One that answers an error of kind [`ErrorKind::BrokenPipe`] when nobody reads any more.
    pub(crate) fn watched(self) -> Self {
        Self { watched: true, ..self }
    }

    /// One that writes when it is full, and at [`Screen::flush`]: for thousands of lines.
    pub(crate) fn buffered(self) -> Self {
        Self { stream: Box::new(io::BufWriter::new(self.stream)), ..self }
    }

    /// The colours that suit it.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// What `write!` and `writeln!` call: a line, or a part of one. Line ends elsewhere than at the end do not pass.
    pub(crate) fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
        let text = arguments.to_string();
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (text.as_str(), ""),
        };
        self.put(&(self.fence(line, false) + end))
    }

    /// Prints a text of ours of several lines.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.put(&self.fence(text, true))
    }

    /// Prints JSON, laid out.
    pub(crate) fn json(&mut self, value: &Value) -> io::Result<()> {
        self.put(&(harmless_json(&format!("{value:#}")) + "\n"))
    }

    /// Prints bytes as they are: only where that was asked for, and for what programs read.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        match self.stream.write_all(bytes).and_then(|()| self.stream.flush()) {
            Err(error) => self.failed(error),
            Ok(()) => Ok(()),
        }
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self.stream.flush() {
            Err(error) if !self.gone => self.failed(error),
            _ => Ok(()),
        }
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        match self.stream.write_all(text.as_bytes()) {
            Err(error) => self.failed(error),
            Ok(()) => Ok(()),
        }
    }

    fn failed(&mut self, error: io::Error) -> io::Result<()> {
        self.gone = error.kind() == ErrorKind::BrokenPipe;
        if self.gone && !self.watched { Ok(()) } else { Err(error) }
    }

    /// Lets through what is shown, and the colours that [`Paint`] makes where there are any.
    fn fence(&self, text: &str, lines: bool) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let colour = if c == '\x1b' && self.paint == Paint::Colour { colour(rest) } else { None };
            let length = colour.unwrap_or(c.len_utf8());
            if colour.is_some() || c == '\n' && lines || !hidden(c) {
                shown.push_str(&rest[..length]);
            } else {
                shown.extend(c.escape_unicode());
            }
            rest = &rest[length..];
        }
        shown
    }
}

/// The length of the colour that `text` begins with.
fn colour(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("\x1b[")?;
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    digits[end..].starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Texts that forged a line or a column, or steered a terminal.
    const HOSTILE: &[(&str, &str)] = &[
        ("ok\n\u{2026}allow\u{2026}: forged line", "ok\\u{a}\u{2026}allow\u{2026}: forged line"),
        ("v\u{2026}\nALLOW: everything is fine", "v\u{2026}\\u{a}ALLOW: everything is fine"),
        ("a\u{202e}b", "a\\u{202e}b"),
        ("a\u{1b}[2Jb\u{9b}31m\u{7f}\r", "a\\u{1b}[2Jb\\u{9b}31m\\u{7f}\\u{d}"),
        ("\u{61c}\u{ad}\u{2060}\u{e0041}", "\\u{61c}\\u{ad}\\u{2060}\\u{e0041}"),
        ("a  b", "a \\u{20}b"),
        (" a ", "\\u{20}a\\u{20}"),
        ("a\u{2028}b\u{2029}c\td", "a\\u{2028}b\\u{2029}c\\u{9}d"),
        ("\u{e000}\u{378}\u{fdd0}\u{10ffff}", "\\u{e000}\\u{378}\\u{fdd0}\\u{10ffff}"),
        ("a\u{a0}b\u{3000}c\u{2800}d\u{3164}e\u{fe0f}", "a\\u{a0}b\\u{3000}c\\u{2800}d\\u{3164}e\\u{fe0f}"),
        ("通关 café a\\b", "通关 café a\\b"),
        ("", ""),
    ];

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn screen(stream: impl Write + 'static, paint: Paint) -> Screen {
        Screen { stream: Box::new(stream), paint, gone: false, watched: false }
    }

    #[test]
    fn a_callers_text_is_one_line_and_shown_whole() {
        for (text, expected) in HOSTILE {
            assert_eq!(harmless(text), *expected);
            let json = harmless_json(&serde_json::to_string(text).unwrap());
            assert!(!json.chars().any(hidden), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), *text);
            assert!(!harmless_lines(text).chars().any(|c| c != '\n' && hidden(c)));
        }
    }

    #[test]
    fn nothing_passes_the_screen_but_lines_and_colours() {
        for paint in [Paint::Plain, Paint::Colour] {
            for (text, _) in HOSTILE {
                let kept = Kept::default();
                let mut screen = screen(kept.clone(), paint);
                let red = paint.paint(super::super::paint::Style::Bad, "x");
                writeln!(screen, "{red} {text}").unwrap();
                let shown = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
                assert!(shown.starts_with(&red), "{shown:?}");
                assert_eq!(shown.matches('\n').count(), 1, "{shown:?}");
                let rest = shown.trim_start_matches(&red).trim_end_matches('\n');
                assert!(!rest.chars().any(hidden), "{rest:?}");
            }
        }
    }

    #[test]
    fn a_chinese_character_is_two_cells_wide() {
        assert_eq!((cells("vpn"), cells("通关"), cells("")), (3, 4, 0));
        assert_eq!(padded("通关", 6), "通关  ");
        assert_eq!(padded("longer than that", 6), "longer than that");
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let lined_up =
            columns([row(["NAME", "N", "KIND"]), row(["通关网关", "10", "x"]), row(["a", "9", ""])], &[1]);
        assert_eq!(lined_up, "NAME       N  KIND\n通关网关  10  x\na          9\n");
    }

    #[test]
    fn nobody_reading_is_no_error_unless_it_is_asked_for() {
        let mut quiet = screen(Broken, Paint::Plain);
        writeln!(quiet, "a").unwrap();
        quiet.text("b\n").unwrap();
        let mut watched = screen(Broken, Paint::Plain).watched();
        assert_eq!(writeln!(watched, "a").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
