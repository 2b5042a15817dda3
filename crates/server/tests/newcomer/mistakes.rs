//! Wrong settings: one exit code, wherever they stand; a text that names the option, its form and what is allowed; each
//! cause once.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{program, run, serve, text, told};

/// Key, wrong value, and what must be said.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("listen", "27450", &["`27450` is not HOST:PORT, such as 127.0.0.1:8080", "--listen", "TONGGUAN_LISTEN"]),
    ("listen", "127.0.0.1", &["`127.0.0.1` is not HOST:PORT"]),
    ("listen", "::1:80", &["is not HOST:PORT", "[::1]:8080"]),
    ("listen", "127.0.0.1:65536", &["is not HOST:PORT"]),
    ("admin_listen", "here", &["--admin-listen", "HOST:PORT", "`off`"]),
    ("endpoint", "https://vpn.example.com", &["--endpoint", "HOST:PORT"]),
    ("address_pool", "10.0.0.0/33", &["--address-pool", "`10.0.0.0/33`", "198.18.0.0/15"]),
    ("region", "cn-mars", &["--region", "`cn-mars`", "cn-hangzhou", "cn-beijing"]),
    ("detached_peers", "loud", &["--detached-peers", "`loud`", "silent", "answer"]),
    ("dataplane", "wireguard", &["--dataplane", "`wireguard`", "detached", "gateways:SOCKET"]),
    ("dataplane", "gateways:", &["gateways:SOCKET"]),
    ("apply_delay", "5", &["--apply-delay", "`5`", "250ms", "polls:N"]),
    ("rate_limit", "many", &["--rate-limit", "`many`", "`off`"]),
    ("rate_burst", "0", &[]),
    ("quota", "vpn_gateways=7", &["vpn_gateways", "docs/reference.md"]),
    ("tls_cert", "nowhere.pem", &["--tls-cert", "--tls-key", "go together"]),
    ("master_key_file", "wrong.key", &["wrong.key", "64 hex digits"]),
];

fn code_of(mut command: std::process::Command, directory: &Path) -> (Option<i32>, String) {
    command.current_dir(directory).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let code = super::ended(&mut child).code();
    (code, text(&child.wait_with_output().unwrap()))
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"];

#[test]
fn a_wrong_setting_has_one_exit_code_wherever_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    private(&directory.path().join("wrong.key"), "abc");
    for (key, value, said) in WRONG {
        let serve = |set: &str| {
            let of_key = |index: usize| SERVE[index].trim_start_matches('-').replace('-', "_") == *key;
            let mut words = vec![SERVE[0]];
            for index in [1, 3] {
                if !of_key(index) {
                    words.extend([SERVE[index], SERVE[index + 1]]);
                }
            }
            let mut command = program(&words);
            let option = format!("--{}", key.replace('_', "-"));
            match set {
                "option" => drop(command.args([&option, *value])),
                "variable" => drop(command.env(format!("TONGGUAN_{}", key.to_uppercase()), value)),
                _ => {
                    let line = match (*key, value.parse::<u32>(), value.split_once('=')) {
                        ("quota", _, Some((name, number))) => format!("[quota]\n{name} = {number}\n"),
                        ("rate_burst", Ok(number), _) => format!("{key} = {number}\n"),
                        _ => format!("{key} = '{value}'\n"),
                    };
                    std::fs::write(directory.path().join("tongguan.toml"), line).unwrap();
                    command.args(["--config", "tongguan.toml"]);
                }
            }
            code_of(command, directory.path())
        };
        for place in ["option", "variable", "file"] {
            let (code, text) = serve(place);
            assert_eq!(code, Some(78), "{key} {value} by {place}: {text}");
            let made = directory.path().join("data").exists();
            assert!(!made || *key == "master_key_file", "{key}: nothing is made before all is understood");
            for part in *said {
                assert!(text.contains(part), "{key} {value} by {place} should say {part}: {text}");
            }
        }
    }
}

#[test]
fn files_that_settings_name_are_configuration_too() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    private(&place("noise.pem"), "noise\n");
    let principal = |more: &str| {
        format!(
            "[[principal]]\naccount_id = '1234567890123456'\naccess_key_id = 'k'\naccess_key_secret = 's'\n{more}"
        )
    };
    for (config, said) in [
        ("tls_cert = 'nowhere.pem'\ntls_key = 'nowhere.key'\n".to_owned(), "nowhere.pem"),
        ("tls_cert = 'noise.pem'\ntls_key = 'noise.pem'\n".to_owned(), "noise.pem"),
        (
            principal("user_name = 'u'\npolicies = ['AliyunNoSuchAccess']\n"),
            "`AliyunNoSuchAccess` is no system policy",
        ),
        (principal("user_name = 'u'\npolicy_files = ['nowhere.json']\n"), "nowhere.json"),
        (principal("status = 'Resting'\n"), "neither Active nor Inactive"),
        (principal("").replace("1234567890123456", "99"), "sixteen decimal digits"),
        ("account_id = '99'\n".to_owned(), "sixteen decimal digits"),
        ("access_key_id = 'k'\n".to_owned(), "go together"),
        ("lisen = '127.0.0.1:0'\n".to_owned(), "line 1"),
    ] {
        private(&place("tongguan.toml"), &config);
        let (code, text) =
            told("serve --listen 127.0.0.1:0 --admin-listen off --config tongguan.toml", directory.path());
        assert_eq!(code, Some(78), "{config}: {text}");
        assert!(text.contains(said), "{config} should say {said}: {text}");
    }
    // A secret that is open to others is another mistake, with the command that mends it.
    private(&place("tongguan.toml"), &principal(""));
    std::fs::set_permissions(place("tongguan.toml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) =
        told("serve --listen 127.0.0.1:0 --admin-listen off --config tongguan.toml", directory.path());
    assert_eq!(code, Some(77), "{text}");
    assert!(text.contains("chmod 600 'tongguan.toml'"), "{text}");
    // And an option that does not exist is no setting at all.
    assert_eq!(told("serve --lisen 127.0.0.1:0", directory.path()).0, Some(2));
    assert_eq!(told("demo --apply-delay 5", directory.path()).0, Some(78));
}

#[test]
fn no_cause_is_said_twice() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    for (line, cause) in [
        ("serve --listen 127.0.0.1:0 --admin-listen off --data-dir /proc/nowhere/data", "os error 2"),
        ("serve --config nowhere.toml", "os error 2"),
        ("check --file nowhere.db", "os error 2"),
        ("backup new.db --data-dir nowhere", "os error 2"),
        ("restore nowhere.db --data-dir new", "os error 2"),
        ("status --data-dir nowhere", "os error 2"),
        ("account create a --data-dir file/data", "os error 20"),
        ("policy check nowhere.json", "os error 2"),
        ("call Vpc DescribeVpcs --endpoint 127.0.0.1:1 --ca nowhere.pem --profile nobody", "nobody"),
    ] {
        let (code, said) = told(line, directory.path());
        assert_ne!(code, Some(0), "{line}");
        assert_eq!(said.matches(cause).count(), 1, "{line}: {said}");
        // No clause stands there again.
        let clauses: Vec<&str> = said.trim().split(": ").collect();
        for (index, clause) in clauses.iter().enumerate() {
            assert!(!clauses[..index].contains(clause), "{line}: {said}");
        }
    }
}

/// The sources print error chains in one way.
#[test]
fn errors_are_printed_by_one_function() {
    for path in super::printing::sources(&super::repository().join("crates/server/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for form in ["error:#}", "error:?}", "{:#}\", error"] {
            assert!(
                !code.contains(form),
                "{}: an error is printed by causes(), not by {form}",
                path.display()
            );
        }
    }
}

#[test]
fn explaining_works_after_a_second_account_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let service = serve(directory.path(), &[]);
    let endpoint = service.endpoint.clone();
    let account = |name: &str| {
        let made = run(&format!("account create {name} --json"), directory.path());
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("AccountId"), text("AccessKeyId"), text("AccessKeySecret"))
    };
    let makes_user = |id: &str, secret: &str, user: &str| {
        let words = ["call", "Ram", "CreateUser", "--endpoint", &endpoint, "--UserName", user];
        let mut command = program(&words);
        command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", id).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
        let output = command.current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    let (research, id, secret) = account("research");
    makes_user(super::KEY, super::SECRET, "alice");
    let explain = |principal: &str| {
        told(
            &format!("policy explain --principal {principal} --action vpc:CreateVpc --json"),
            directory.path(),
        )
    };
    let (code, said) = explain("user/alice");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"AccountId\": \"1234567890123456\""), "{said}");
    // Of the same name in both accounts: which?
    makes_user(&id, &secret, "alice");
    let (code, said) = explain("user/alice");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("--account, 1234567890123456 or {research}"))
            || said.contains(&format!("--account, {research} or 1234567890123456")),
        "{said}"
    );
    let (code, said) = explain(&format!("acs:ram::{research}:user/alice"));
    assert!(code == Some(0) && said.contains(&research), "{said}");
    let (code, said) = explain("user/bob");
    assert!(code == Some(1) && said.contains("no account has a user `bob`"), "{said}");
    assert!(service.stop().success());
}

#[test]
fn plain_http_for_others_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    for (listen, warned) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let mut command =
            super::program_with_key(&["serve", "--admin-listen", "off"], super::KEY, super::SECRET);
        command.args(["--listen", listen]).current_dir(directory.path());
        let service = super::Process::start(command);
        assert_eq!(service.logged().contains("HTTP without TLS"), warned, "{}", service.logged());
        service.stop();
    }
}
