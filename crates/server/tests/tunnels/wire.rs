//! What is seen on the link between the gateways, by somebody else's reading of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::network::{Network, wait};
use crate::site::{DOWN, Site, UP, Words, authority, issued, now, with_certificates, with_key};

/// Frames as a file that tshark reads (pcap, Ethernet).
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (number, frame) in frames.iter().enumerate() {
        let length = frame.len() as u32;
        for word in [number as u32, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// What tshark says of each frame: protocols, complaints with how bad they are, and what is asked for.
fn read(frames: &[Vec<u8>], fields: &[&str]) -> Vec<Vec<String>> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("frames.pcap");
    std::fs::write(&file, capture(frames)).unwrap();
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "separator=|", "-r"]).arg(&file);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect();
    assert_eq!(lines.len(), frames.len(), "{said}");
    lines
}

fn possible() -> bool {
    crate::possible() && (Path::new("/usr/bin/tshark").exists() || crate::skip("no tshark"))
}

#[test]
fn tshark_reads_messages_and_packets_without_a_complaint() {
    if !possible() {
        return;
    }
    let now = now();
    let ca = authority(now);
    let certificates = ["east", "west"].map(|name| issued(&ca, name, now));
    let suite =
        |in_udp| Words { ike: ["aes", "sha256", "group14"], ipsec: ["aes", "sha1", "group14"], in_udp };
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    let watch = network.watch();
    for turn in 0..3 {
        for side in [1, 0] {
            sites[side].apply(&match turn {
                0 => with_certificates(side, &ca, &certificates[side]),
                1 => with_key(side, suite(true)),
                _ => with_key(side, suite(false)),
            });
        }
        sites.iter().for_each(|site| site.wait_for(UP));
        network.assert_pings();
        network.assert_tcp(0, 20_000);
    }
    for site in &mut sites {
        let mut nothing = with_key(0, suite(true));
        nothing.connections.clear();
        site.apply(&nothing);
    }
    let mut frames = watch.frames();
    // IPv4, and no fragment but those that come together to a message.
    frames.retain(|frame| frame[12..14] == [8, 0]);
    let fields = [
        "frame.protocols",
        "_ws.malformed",
        "_ws.expert.severity",
        "_ws.expert.message",
        "isakmp.exchangetype",
        "isakmp.typepayload",
        "esp.spi",
    ];
    let lines = read(&frames, &fields);
    let (mut protocols, mut exchanges, mut payloads, mut spis) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in &lines {
        let [seen, malformed, severity, message, exchange, types, spi] = &line[..] else {
            panic!("{line:?}")
        };
        assert!(malformed.is_empty(), "{line:?}");
        // From a warning on: chats and notes are no complaints.
        const WARNING: u32 = 0x0060_0000;
        let bad = severity.split(',').any(|one| one.parse::<u32>().is_ok_and(|one| one >= WARNING));
        assert!(!bad, "{message}: {line:?}");
        protocols.insert(seen.clone());
        exchanges.extend(exchange.split(',').filter(|one| !one.is_empty()).map(str::to_owned));
        payloads.extend(types.split(',').filter(|one| !one.is_empty()).map(str::to_owned));
        spis.extend(Some(spi.clone()).filter(|spi| !spi.is_empty()));
    }
    for wanted in ["eth:ethertype:ip:udp:isakmp", "eth:ethertype:ip:udp:udpencap:esp", "eth:ethertype:ip:esp"]
    {
        assert!(protocols.iter().any(|seen| seen.starts_with(wanted)), "{wanted}: {protocols:?}");
    }
    // Main mode, informational, quick mode; SA, key exchange, certificate, signature, nonce, vendor id.
    for (all, wanted) in [(&exchanges, &["2", "5", "32"][..]), (&payloads, &["1", "4", "6", "9", "10", "13"])]
    {
        assert!(wanted.iter().all(|one| all.contains(*one)), "{wanted:?}: {all:?}");
    }
    // Two directions of each of the three.
    assert!(spis.len() >= 6, "{spis:?}");
}

#[test]
fn certificates_that_openssl_has_made_carry_a_tunnel() {
    if !crate::possible() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).current_dir(folder.path()).env_remove("OPENSSL_CONF");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let key = |name: &str| {
        openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out {name}.key"));
    };
    const SIGNING: &str = "-sm3 -sigopt distid:1234567812345678";
    const CHECKING: &str = "-vfyopt distid:1234567812345678";
    key("ca");
    openssl(&format!(
        "req -x509 -new -key ca.key {SIGNING} -subj /C=CN/O=tests/CN=root -days 30 -out ca.pem"
    ));
    for (file, usage) in [("sign", "digitalSignature"), ("encrypt", "keyEncipherment,dataEncipherment")] {
        let extensions = format!("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,{usage}\n");
        std::fs::write(folder.path().join(format!("{file}.ext")), extensions).unwrap();
    }
    for name in ["east", "west"] {
        for file in ["sign", "encrypt"] {
            let whole = format!("{name}-{file}");
            key(&whole);
            openssl(&format!(
                "req -new -key {whole}.key {SIGNING} -subj /C=CN/O=tests/CN={name} -out {whole}.csr"
            ));
            openssl(&format!(
                "x509 -req -in {whole}.csr -CA ca.pem -CAkey ca.key -CAcreateserial {SIGNING} {CHECKING} \
                 -extfile {file}.ext -days 10 -out {whole}.pem"
            ));
        }
    }
    let now = now();
    let ours = authority(now);
    let network = Network::new();
    let watch = network.watch();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    let documents = ["east", "west"].map(|name| {
        let side = usize::from(name == "west");
        let mut certificates = issued(&ours, name, now);
        for (role, file) in [("Signature", "sign"), ("Encryption", "encrypt")] {
            let credential = certificates.get_mut(role).unwrap();
            credential.certificate = text(&format!("{name}-{file}.pem"));
            credential.key = tongguan_dataplane::orders::SecretText::new(text(&format!("{name}-{file}.key")));
        }
        let mut document = with_certificates(side, &ours, &certificates);
        for connection in document.connections.values_mut() {
            connection.settings.tunnels[0].remote_ca = Some(text("ca.pem"));
        }
        document
    });
    for side in [1, 0] {
        sites[side].apply(&documents[side]);
    }
    sites.iter().for_each(|site| site.wait_for(UP));
    network.assert_pings();
    network.assert_tcp(0, 200_000);
    watch.assert_nothing_readable();
    // A side that trusts another CA believes none of it.
    let mut distrustful = documents[0].clone();
    for connection in distrustful.connections.values_mut() {
        connection.settings.tunnels[0].remote_ca = Some(ours.certificate().to_pem());
    }
    sites[0].apply(&distrustful);
    sites[0].wait_for(DOWN);
    wait("a reason", || sites[0].status().reason.is_some());
    assert!(!network.ping(0));
}
