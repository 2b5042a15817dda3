//! Our gateway against Debian's strongSwan: a program that nobody here wrote judges negotiation and packets.
//!
//! It seals and opens packets itself (plugin kernel-libipsec) and puts them in UDP always. Its packages are
//! charon-systemd, strongswan-swanctl, libcharon-extra-plugins and libstrongswan-standard-plugins.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tongguan_dataplane::orders::Document;

use crate::network::{Network, block, outside, wait, wait_longer};
use crate::site::{DOWN, Site, UP, Words, with_key};

/// How strongSwan names algorithms: phase 1 and phase 2.
struct Suite {
    words: Words,
    theirs: [&'static str; 2],
}

const SUITES: [Suite; 4] = [
    Suite {
        words: Words { ike: ["aes", "sha1", "group14"], ipsec: ["aes", "sha1", "disabled"], in_udp: true },
        theirs: ["aes128-sha1-modp2048", "aes128-sha1"],
    },
    Suite {
        words: Words {
            ike: ["aes256", "sha256", "group14"],
            ipsec: ["aes256", "sha256", "group14"],
            in_udp: true,
        },
        theirs: ["aes256-sha256-modp2048", "aes256-sha256-modp2048"],
    },
    Suite {
        words: Words {
            ike: ["aes", "sha256", "group19"],
            ipsec: ["aes256", "sha1", "disabled"],
            in_udp: true,
        },
        theirs: ["aes128-sha256-ecp256", "aes256-sha1"],
    },
    Suite {
        words: Words {
            ike: ["aes256", "sha1", "group19"],
            ipsec: ["aes", "sha256", "group19"],
            in_udp: true,
        },
        theirs: ["aes256-sha1-ecp256", "aes128-sha256-ecp256"],
    },
];

/// strongSwan as the gateway of side 1.
struct Charon {
    folder: TempDir,
    namespace: String,
    process: Child,
}

impl Charon {
    fn start(network: &Network) -> Self {
        let folder = TempDir::new().unwrap();
        let namespace = network.gateways[1].name().to_owned();
        let path = folder.path().display();
        let configuration = format!(
            "charon-systemd {{
              load_modular = no
              load = random nonce aes sha1 sha2 hmac kdf gmp openssl pem pkcs1 x509 pubkey kernel-libipsec kernel-netlink socket-default vici
              retransmit_tries = 2
              retransmit_timeout = 1
              journal {{ default = -1 }}
              filelog {{ log {{
                path = {path}/charon.log
                default = 1
                flush_line = yes
              }} }}
              plugins {{
                kernel-libipsec {{ allow_peer_ts = yes }}
                kernel-netlink {{ fwmark = !0x42 }}
                socket-default {{ fwmark = 0x42 }}
                vici {{ socket = unix://{path}/vici }}
              }}
            }}
            swanctl {{
              load = random nonce sha1 sha2 hmac openssl pem pkcs1 x509 pubkey
            }}"
        );
        std::fs::write(folder.path().join("strongswan.conf"), configuration).unwrap();
        let process = Command::new("ip")
            .args(["netns", "exec", &namespace, "charon-systemd"])
            .env("STRONGSWAN_CONF", folder.path().join("strongswan.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let charon = Self { folder, namespace, process };
        wait("strongSwan", || charon.path("vici").exists());
        charon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `swanctl` says; whether it found everything well.
    fn control(&self, arguments: &[&str]) -> (bool, String) {
        let uri = format!("unix://{}", self.path("vici").display());
        let output = Command::new("ip")
            .args(["netns", "exec", &self.namespace, "swanctl"])
            .args(arguments)
            .args(["--uri", &uri])
            .env("STRONGSWAN_CONF", self.path("strongswan.conf"))
            .output()
            .unwrap();
        (output.status.success(), tongguan_testkit::program::text(&output))
    }

    /// As `control`, and it has to be well.
    fn must(&self, arguments: &[&str]) -> String {
        let (good, said) = self.control(arguments);
        let log = || std::fs::read_to_string(self.path("charon.log")).unwrap_or_default();
        assert!(good, "{arguments:?}: {said}\n{}", log());
        said
    }

    fn configure(&self, suite: &Suite) {
        let [ike, esp] = suite.theirs;
        let (ours, theirs) = (outside(0), outside(1));
        let (local, remote) = (block(1), block(0));
        let configuration = format!(
            "connections {{ c {{
              version = 1
              local_addrs = {theirs}
              remote_addrs = {ours}
              proposals = {ike}
              dpd_delay = 2s
              local {{ auth = psk
                id = {theirs} }}
              remote {{ auth = psk
                id = {ours} }}
              children {{ net {{
                local_ts = {local}
                remote_ts = {remote}
                esp_proposals = {esp}
                dpd_action = clear
              }} }}
            }} }}
            secrets {{ ike-1 {{
              secret = \"a secret of both sides\"
              id-1 = {ours}
              id-2 = {theirs}
            }} }}"
        );
        let path = self.path("swanctl.conf");
        std::fs::write(&path, configuration).unwrap();
        self.must(&["--load-all", "--clear", "--file", &path.display().to_string()]);
    }

    /// Whether it has no SA.
    fn is_clean(&self) -> bool {
        self.must(&["--list-sas"]).trim().is_empty()
    }
}

impl Drop for Charon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("charon.log")).unwrap_or_default();
            #[allow(clippy::print_stderr)]
            {
                eprintln!("{log}");
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether strongSwan is there; says so if not.
fn possible() -> bool {
    let there = [
        "/usr/sbin/charon-systemd",
        "/usr/sbin/swanctl",
        "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so",
    ];
    crate::possible()
        && (there.iter().all(|path| std::path::Path::new(path).exists()) || crate::skip("no strongSwan"))
}

/// The same, but it waits to be asked.
fn patient(document: Document) -> Document {
    let mut document = document;
    for connection in document.connections.values_mut() {
        connection.settings.effect_immediately = false;
    }
    document
}

#[test]
fn we_begin_and_strongswan_answers() {
    if !possible() {
        return;
    }
    let network = Network::new();
    let watch = network.watch();
    let charon = Charon::start(&network);
    let mut site = Site::start(&network, 0);
    for suite in &SUITES {
        charon.configure(suite);
        site.apply(&with_key(0, suite.words));
        site.wait_for(UP);
        network.assert_pings();
        network.assert_tcp(0, 500_000);
        network.assert_tcp(1, 500_000);
        // Our Delete reaches it.
        let mut nothing = with_key(0, suite.words);
        nothing.connections.clear();
        site.apply(&nothing);
        wait_longer("strongSwan to have no SA", 4, || charon.is_clean());
        assert!(!network.ping(0));
    }
    watch.assert_nothing_readable();
}

#[test]
fn strongswan_goes_along_when_we_replace_sas() {
    if !possible() {
        return;
    }
    let network = Network::new();
    let charon = Charon::start(&network);
    let mut site = Site::start(&network, 0);
    let suite = &SUITES[1];
    charon.configure(suite);
    let mut document = with_key(0, suite.words);
    for connection in document.connections.values_mut() {
        connection.settings.tunnels[0].ike.lifetime = 12;
        connection.settings.tunnels[0].ipsec.lifetime = 5;
    }
    site.apply(&document);
    site.wait_for(UP);
    network.assert_pings();
    let before = site.status().child_sas;
    wait("several replacements", || {
        assert!(network.ping(0));
        site.status().child_sas >= before + 4
    });
    network.assert_tcp(0, 500_000);
}

#[test]
fn strongswan_begins_replaces_and_deletes() {
    if !possible() {
        return;
    }
    let network = Network::new();
    let watch = network.watch();
    let charon = Charon::start(&network);
    let mut site = Site::start(&network, 0);
    for suite in &SUITES {
        charon.configure(suite);
        site.apply(&patient(with_key(0, suite.words)));
        charon.must(&["--initiate", "--child", "net"]);
        site.wait_for(UP);
        network.assert_pings();
        network.assert_tcp(0, 500_000);
        // Phase 2 is replaced, then phase 1; packets go on.
        charon.must(&["--rekey", "--child", "net"]);
        network.assert_pings();
        charon.must(&["--rekey", "--ike", "c"]);
        network.assert_pings();
        network.assert_tcp(1, 500_000);
        charon.must(&["--terminate", "--ike", "c"]);
        site.wait_for(DOWN);
    }
    watch.assert_nothing_readable();
}

#[test]
fn each_notices_that_the_other_is_dead() {
    if !possible() {
        return;
    }
    let network = Network::new();
    let charon = Charon::start(&network);
    let mut site = Site::start(&network, 0);
    let suite = &SUITES[0];
    charon.configure(suite);
    site.apply(&with_key(0, suite.words));
    site.wait_for(UP);
    // Its questions are answered: nothing of it is gone after several of them.
    let questions = || {
        let log = std::fs::read_to_string(charon.path("charon.log")).unwrap();
        log.lines().filter(|line| line.contains("N(DPD_ACK)")).count()
    };
    wait("three questions that were answered", || questions() >= 3);
    site.wait_for(UP);
    site.kill();
    wait_longer("strongSwan to have no SA", 4, || charon.is_clean());
    site.start_again(&network, 0);
    site.apply(&with_key(0, suite.words));
    site.wait_for(UP);
    network.assert_pings();
    drop(charon);
    site.wait_for(DOWN);
    let reason = site.status().reason.unwrap();
    assert!(reason.contains("not there any more"), "{reason}");
}
