//! The README is pasted, in both languages, block by block into one shell beside a service; what it shows of an output
//! is what is printed; and what `make` and `--help` say is true.
//!
//! A block labelled `sh` is pasted unless a comment before it says why not. A block labelled `text` that follows is
//! what the last command of it printed; ` ...` at the end of a line stands for its rest, a line `...` for lines left
//! out. Ids, times and numbers of requests are any.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::common::program::{Process, program, text};
use super::{repository, run};

const PAGES: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// A fenced block.
#[derive(Debug, Clone)]
struct Block {
    label: String,
    text: String,
    /// Why it is not pasted.
    reason: Option<String>,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(repository().join(page)).unwrap();
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = "";
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(label)) => {
                let reason =
                    before.strip_prefix("<!-- not pasted: ").and_then(|rest| rest.strip_suffix(" -->"));
                open = Some(Block {
                    label: label.to_owned(),
                    text: String::new(),
                    reason: reason.map(str::to_owned),
                    line: index + 1,
                });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
        before = line;
    }
    assert!(open.is_none() && !found.is_empty(), "{page}: a fence is not closed");
    found
}

/// Whether a line of the page is a printed line.
fn fits(line: &str, printed: &str) -> bool {
    let (line, printed) = (normal(line), normal(printed));
    match line.strip_suffix(" ...") {
        Some(start) => printed.starts_with(start),
        None => line == printed,
    }
}

/// A line without what is another each time: ids of resources, UUIDs, seconds, how many requests.
fn normal(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let uuid = bare.len() == 36 && bare.matches('-').count() == 4;
        let resource = bare.split_once('-').is_some_and(|(kind, rest)| {
            ["vpn", "vpc", "vsw"].contains(&kind) && rest.len() == 20 && rest.starts_with("bp1")
        });
        let number = bare.contains('.') && bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if uuid || resource || number { word.replace(bare, "*") } else { word.to_owned() }
    };
    // How often a state is looked at depends on how long it takes.
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    let counted = |index: usize| words.get(index + 1).is_some_and(|next| *next == "requests");
    let word = |(index, text): (usize, &&str)| if counted(index) { "*".to_owned() } else { word(text) };
    words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// What a page shows is printed in this order, without a line between that is not shown, but for `...`.
fn assert_printed(what: &str, shown: &str, printed: &str) {
    let printed: Vec<&str> = printed.lines().collect();
    for part in shown.split("\n...\n") {
        let lines: Vec<&str> = part.lines().collect();
        let there = printed
            .windows(lines.len())
            .any(|window| lines.iter().zip(window).all(|(line, printed)| fits(line, printed)));
        assert!(there, "{what}: this is not what is printed:\n{part}\nbut:\n{}", printed.join("\n"));
    }
}

#[test]
fn the_pages_are_alike_and_every_block_is_pasted_or_says_why_not() {
    for page in PAGES {
        for block in blocks(page) {
            let known = ["sh", "text", "toml", "python", "js", "hcl"].contains(&block.label.as_str());
            assert!(known, "{page}, line {}: `{}` is no label", block.line, block.label);
            let runs_here = ["sh", "text", "toml"].contains(&block.label.as_str());
            assert!(
                runs_here || block.reason.is_some(),
                "{page}, line {}: why is it not pasted?",
                block.line
            );
        }
    }
    // The same commands, whatever is said of them.
    let bare = |page: &str| -> Vec<String> {
        let code = |line: &str| line.split(" #").next().unwrap().trim_end().to_owned();
        let all = blocks(page);
        all.iter().map(|block| block.text.lines().map(code).collect::<Vec<_>>().join("\n")).collect()
    };
    assert_eq!(bare(PAGES[0]), bare(PAGES[1]));
}

/// A place with a service that was started for the first time, and the program where the page says that it is.
fn lab() -> (tempfile::TempDir, Process) {
    let directory = tempfile::tempdir().unwrap();
    let release = directory.path().join("target/release");
    std::fs::create_dir_all(&release).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tongguan"), release.join("tongguan")).unwrap();
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    command.current_dir(directory.path());
    (directory, Process::start(command))
}

/// Runs a script in a shell that stops at the first command that fails.
fn shell(script: &str, directory: &Path, home: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", script]).current_dir(directory).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home);
    command.output().unwrap()
}

#[test]
fn the_readme_runs_as_it_is_pasted() {
    const MARK: &str = "==== pasted ====";
    for page in PAGES {
        let (directory, service) = lab();
        let all = blocks(page);
        let toml = all.iter().find(|block| block.label == "toml").unwrap();
        std::fs::write(directory.path().join("tongguan.toml"), &toml.text).unwrap();
        let pasted: Vec<&Block> =
            all.iter().filter(|block| block.label == "sh" && block.reason.is_none()).collect();
        assert!(pasted.len() >= 5, "{page}");
        let scripts: Vec<String> =
            pasted.iter().map(|block| block.text.replace("127.0.0.1:8080", &service.endpoint)).collect();
        let script = scripts.join(&format!("echo '{MARK}'\n"));
        let output = shell(&script, directory.path(), directory.path());
        assert!(output.status.success(), "{page}: {}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let printed: Vec<&str> = stdout.split(MARK).collect();
        // What is shown after a block is its output.
        for pair in all.windows(2).filter(|pair| pair[1].label == "text" && pair[0].reason.is_none()) {
            let Some(index) = pasted.iter().position(|block| block.line == pair[0].line) else { continue };
            assert_printed(page, pair[1].text.trim_end(), printed[index]);
        }
        assert!(service.stop().success());
        // The configuration, as the page goes on with it.
        assert_eq!(
            std::fs::metadata(directory.path().join("tongguan.toml")).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
        command.args(["--config", "tongguan.toml"]).current_dir(directory.path());
        let service = Process::start(command);
        let mut call = program(&["call", "Sts", "GetCallerIdentity", "--endpoint", &service.endpoint]);
        call.env("ALIBABA_CLOUD_ACCESS_KEY_ID", "observerid");
        call.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "observersecret");
        let output = call.output().unwrap();
        assert!(text(&output).contains("user/observer"), "{}", text(&output));
        assert!(service.stop().success());
    }
}

#[test]
fn the_demonstration_in_the_readme_is_what_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let output = run("demo", directory.path());
    assert!(output.status.success(), "{}", text(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    for page in PAGES {
        let all = blocks(page);
        let block = all.iter().find(|block| block.text.starts_with("$ tongguan demo\n")).unwrap();
        assert_printed(page, block.text.strip_prefix("$ tongguan demo\n").unwrap().trim_end(), &printed);
    }
}

/// The way into HTTPS that docs/operations.md shows: a small CA, and a certificate of it.
#[test]
fn the_recipe_for_https_works() {
    let page = "docs/operations.md";
    let recipe = blocks(page).into_iter().find(|block| block.text.contains("openssl req -x509")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let script = recipe.text.replace("vpn.example.com", "localhost");
    let output = shell(&script, directory.path(), directory.path());
    assert!(output.status.success(), "{}", text(&output));
    let service = super::serve(directory.path(), &["--tls-cert", "tls.pem", "--tls-key", "tls.key"]);
    assert!(!service.logged().contains("listener's certificate"), "{}", service.logged());
    let port = service.endpoint.rsplit_once(':').unwrap().1;
    let endpoint = format!("https://localhost:{port}");
    let words = ["call", "Sts", "GetCallerIdentity", "--endpoint", &endpoint, "--ca", "ca.pem"];
    let mut call = super::program_with_key(&words, super::KEY, super::SECRET);
    let output = call.current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(service.stop().success());
}

fn make(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("make");
    command.args(["-s", "-f"]).arg(repository().join("Makefile")).args(arguments);
    command.current_dir(directory).output().unwrap()
}

#[test]
fn make_run_says_how_to_go_on() {
    let (directory, service) = lab();
    // What `make run` says before it serves.
    let dry = make(directory.path(), &["-n", "run", "-o", "target/release/tongguan"]);
    assert!(text(&dry).contains("target/release/tongguan serve"), "{}", text(&dry));
    let said = text(&make(directory.path(), &["hint"]));
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("  ")).collect();
    let script = lines.join("\n").replace("127.0.0.1:8080", &service.endpoint);
    assert!(text(&dry).contains(lines[1].trim()), "{}", text(&dry));
    let elsewhere = tempfile::tempdir().unwrap();
    let output = shell(&script, elsewhere.path(), elsewhere.path());
    assert!(output.status.success() && text(&output).contains("TotalCount"), "{said}: {}", text(&output));
    assert!(service.stop().success());
}

#[test]
fn make_install_puts_everything_in_its_place() {
    let place = tempfile::tempdir().unwrap();
    let install = |prefix: &str| {
        let binary = env!("CARGO_BIN_EXE_tongguan");
        let settings = [
            format!("BIN={binary}"),
            format!("PREFIX={prefix}"),
            format!("DESTDIR={}", place.path().display()),
        ];
        let mut arguments = vec!["-o", binary, "install"];
        arguments.extend(settings.iter().map(String::as_str));
        let output = make(&repository(), &arguments);
        assert!(output.status.success(), "{}", text(&output));
    };
    let under = |path: &str| -> PathBuf { place.path().join(path) };
    install("/usr/local");
    let mode = |path: &str| std::fs::metadata(under(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("usr/local/bin/tongguan"), 0o755);
    assert_eq!(mode("etc/tongguan/tongguan.toml"), 0o600);
    let kept = std::fs::read_to_string(repository().join("dist/tongguan.service")).unwrap();
    assert_eq!(std::fs::read_to_string(under("etc/systemd/system/tongguan.service")).unwrap(), kept);
    assert!(under("etc/sysusers.d/tongguan.conf").exists());
    // logrotate reads no file that others than root may write.
    assert_eq!(mode("etc/logrotate.d/tongguan"), 0o644);
    let kept = std::fs::read_to_string(repository().join("dist/tongguan.logrotate")).unwrap();
    assert_eq!(std::fs::read_to_string(under("etc/logrotate.d/tongguan")).unwrap(), kept);
    // A configuration that is there stays.
    let own = ["etc/tongguan/tongguan.toml", "etc/logrotate.d/tongguan"];
    own.iter().for_each(|file| std::fs::write(under(file), "mine").unwrap());
    install("/usr/local");
    assert_eq!(own.map(|file| std::fs::read_to_string(under(file)).unwrap()), ["mine", "mine"]);
    install("/opt/tongguan");
    let unit = std::fs::read_to_string(under("opt/tongguan/lib/systemd/system/tongguan.service")).unwrap();
    assert!(unit.contains("ExecStart=/opt/tongguan/bin/tongguan serve"), "{unit}");
    assert!(unit.contains(":/opt/tongguan/etc/tongguan/tongguan.toml"), "{unit}");
    assert!(under("opt/tongguan/lib/sysusers.d/tongguan.conf").exists());
    assert!(under("opt/tongguan/etc/logrotate.d/tongguan").exists());
    for shell in [
        "bash-completion/completions/tongguan",
        "zsh/site-functions/_tongguan",
        "fish/vendor_completions.d/tongguan.fish",
    ] {
        let script = std::fs::read_to_string(under("usr/local/share").join(shell)).unwrap();
        for word in ["serve", "completions", "policy", "explain", "data-dir", "audit-head"] {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
    }
    // What bash makes of it.
    let script = under("usr/local/share/bash-completion/completions/tongguan");
    let asked = format!(
        "source '{}'; COMP_WORDS=(tongguan acc); COMP_CWORD=1; _tongguan tongguan acc tongguan; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let output = Command::new("bash").args(["-c", &asked]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "account", "{}", text(&output));
}

/// Every variable that the sources read is named by a `--help`, each option of `serve` beside its own.
#[test]
fn help_names_the_variables() {
    let place = tempfile::tempdir().unwrap();
    let help = |command: &str| text(&run(&format!("{command} --help"), place.path()));
    let serve = help("serve");
    // An option's text goes on until the next one begins at the margin.
    let mut options: Vec<String> = Vec::new();
    for line in serve.lines() {
        let margin = line.len() - line.trim_start().len();
        if margin <= 6 && line.trim_start().starts_with('-') {
            options.push(line.trim_start().to_owned());
        } else if let (Some(option), true) = (options.last_mut(), margin > 6) {
            option.extend([" ", line.trim_start()]);
        }
    }
    assert!(options.len() > 15, "{serve}");
    // These two are no settings.
    let no_setting = |option: &&String| option.starts_with("-h") || option.starts_with("--check");
    for option in options.iter().filter(|option| !no_setting(option)) {
        let name = option.split(' ').next().unwrap();
        let variable = format!("TONGGUAN_{}", name.trim_start_matches('-').replace('-', "_").to_uppercase());
        // What is set is not shown where it may hold a password.
        let named = ["=", "]"].iter().any(|after| option.contains(&format!("[env: {variable}{after}")));
        assert!(named, "{name} names no {variable}: {serve}");
    }
    let commands = [
        "serve",
        "call",
        "account",
        "policy explain",
        "status",
        "check",
        "audit",
        "backup",
        "restore",
        "master-key rotate",
        "ready",
        "dev",
    ];
    let all: String = commands.map(help).concat();
    let mut missing = Vec::new();
    for path in super::printing::sources(&repository().join("crates/server/src")) {
        let source = std::fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        let begins = ["\"TONGGUAN_", "\"ALIBABA_CLOUD_"];
        for (at, _) in begins.iter().flat_map(|begin| code.match_indices(begin)) {
            let quoted = code[at + 1..].split('"').next().unwrap();
            let variable = quoted.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            // Only in builds for tests, and the failpoints' own.
            if variable && !path.ends_with("crash.rs") && !all.contains(quoted) {
                missing.push(quoted.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
