//! Gateways: what negotiations, idle connections and packets cost.
//!
//! Negotiations and idle connections are measured in this process, in processor time of its one thread, so that nothing
//! else counts. What is measured of whole gateways needs root: the real program in network namespaces, as a supervisor
//! starts it. Without root, or where it may make no devices, these rows are left out, and the report says so.

mod network;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use tongguan_esp::Sad;
use tongguan_esp::sa::{CipherKey, Common, IcvLength, Inbound, IntegrityKey, Outbound};
use tongguan_ike::config::{
    Authentication, Connection, ConnectionId, Credentials, NatTraversal, OwnCertificates, PeerIdentity,
    Phase1Suite, Phase2Suite, Selector,
};
use tongguan_ike::keys::HashOrder;
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::Identity;
use tongguan_ike::{ChildSa, FIRST_MESSAGES_PER_SECOND, Input, Now, OneWay, Output, Router};
use tongguan_pki::{Ca, KeySpec, PrivateKey, Subject, SystemRandom, Usage, create_csr};
use zeroize::Zeroizing;

use crate::machine;
use crate::report::{Report, Row};

/// Full negotiations with certificates that one core has to manage in a second.
const NEGOTIATIONS: f64 = 150.0;
/// Idle connections of one gateway.
const IDLE: u32 = 10_000;
/// MB that they may take.
const IDLE_MB: f64 = 200.0;
/// How much longer ten times as many connections may take to be configured.
const LINEAR: f64 = 20.0;

/// How gateways are measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Rounds; the median of them counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a transfer.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// Measures and prints.
///
/// # Errors
/// Something could not be measured, this is not the release build, or a target is missed.
#[allow(clippy::print_stdout, reason = "the report is what this is for")]
pub(crate) fn run(common: &crate::Options, options: &Options) -> Result<()> {
    ensure!(!cfg!(debug_assertions), "measure the release build");
    let rounds = options.rounds.max(1);
    let mut report = Report::default();
    report.fact("machine", machine::describe());
    report.fact("date", jiff::Zoned::now().strftime("%Y-%m-%d").to_string());
    report.section("full negotiations of a core", "", negotiations(rounds)?);
    report.section("10,000 connections, all up and idle", "", idle()?);
    match network::missing() {
        Some(missing) => report.fact("left out", format!("whole gateways: {missing}")),
        None => {
            let beside = std::env::current_exe().context("where am I?")?;
            let beside = beside.parent().context("a program without a directory")?.to_owned();
            let program = crate::suite::find_server(common, &beside)?;
            report.section("the process of a gateway", "", configured(&program)?);
            let seconds = Duration::from_secs(options.seconds.max(1));
            report.section(
                "TCP between two hosts",
                "forwarding",
                network::transfers(&program, rounds, seconds)?,
            );
        }
    }
    println!("{}", report.text());
    ensure!(report.verdicts().missed == 0, "a target is missed");
    Ok(())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Processor time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Two routers, and what each of them has spent.
struct Pair {
    routers: [Router; 2],
    spent: [Duration; 2],
    children: [Vec<ChildSa>; 2],
    under_way: VecDeque<(usize, Output)>,
    now: Now,
}

impl Pair {
    fn new() -> Self {
        let wall = jiff::Timestamp::now().as_second();
        Self {
            routers: [Router::new(), Router::new()],
            spent: [Duration::ZERO; 2],
            children: [Vec::new(), Vec::new()],
            under_way: VecDeque::new(),
            now: Now { steady: Duration::from_secs(1), wall },
        }
    }

    fn act(&mut self, side: usize, act: impl FnOnce(&mut Router, Now) -> Vec<Output>) {
        let before = spent();
        let out = act(&mut self.routers[side], self.now);
        self.spent[side] += spent() - before;
        for output in out {
            match output {
                Output::Install(child) => self.children[side].push(*child),
                output => self.under_way.push_back((1 - side, output)),
            }
        }
    }

    fn configure(&mut self, side: usize, connection: Connection) {
        self.act(side, |router, now| router.configure(connection, now, &mut SystemRandom));
    }

    /// Delivers what is under way, and what is said because of it.
    fn deliver(&mut self) {
        while let Some((to, output)) = self.under_way.pop_front() {
            let Output::Send { local, remote, octets } = output else { continue };
            let input = Input::Datagram { local: remote, remote: local, octets: &octets };
            self.act(to, |router, now| router.handle(now, input, &mut SystemRandom));
        }
    }
}

fn hub() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 1).into()
}

/// A connection of the hub with a spoke, or the other way round.
fn connection(number: u32, of_hub: bool, authentication: Authentication) -> Connection {
    let spoke = IpAddr::from(Ipv4Addr::from(0xc612_0000 + number));
    let (local, remote) = if of_hub { (hub(), spoke) } else { (spoke, hub()) };
    let behind = [(Ipv4Addr::new(10, 0, 0, 0).into(), 8), (Ipv4Addr::from(0xac10_0000 + number).into(), 32)];
    let [ours, theirs] = if of_hub { behind } else { [behind[1], behind[0]] };
    let (local_id, remote_id, group) = match &authentication {
        Authentication::Envelope(credentials) => {
            let name = credentials.own.signature.subject_der();
            (Identity::new(Identity::DER_NAME, name), PeerIdentity::AnyOfCa, None)
        }
        Authentication::Psk(_) => {
            let peer = PeerIdentity::Exactly(Identity::address(remote));
            (Identity::address(local), peer, Some(Group::P256))
        }
    };
    Connection {
        id: ConnectionId(u64::from(number)),
        remote: Some(remote),
        local,
        authentication,
        local_id,
        remote_id,
        selectors: vec![Selector { local: ours, remote: theirs }],
        phase_1: vec![Phase1Suite { cipher: Cipher::Sm4, hash: Hash::Sm3, group }],
        phase_2: Phase2Suite { cipher: Cipher::Sm4, integrity: Hash::Sm3, group: None },
        phase_1_lifetime: Duration::from_secs(86_400),
        phase_2_lifetime: Duration::from_secs(86_400),
        hash_order: HashOrder::Rfc,
        dead_peer_detection: true,
        nat: NatTraversal::Always,
        immediately: of_hub,
    }
}

fn key() -> Authentication {
    Authentication::Psk(Arc::new(Zeroizing::new(b"a secret of both sides".to_vec())))
}

/// What both sides prove themselves with: certificates of one CA.
fn certificates() -> Result<[Authentication; 2]> {
    let now = jiff::Timestamp::now().as_second();
    let validity = (now - 3_600, now + 86_400);
    let ca = Ca::new(
        KeySpec::EcSm2,
        &Subject::parse("CN=root,OU=gateways,O=bench,C=CN")?,
        validity.0,
        validity.1,
    )?;
    let of = |name: &str| -> Result<Authentication> {
        let issue = |usage: Usage| -> Result<_> {
            let key = PrivateKey::generate(KeySpec::EcSm2)?;
            let request =
                create_csr(&key, &Subject::parse(&format!("CN={name},OU=gateways,O=bench,C=CN"))?, &[])?;
            Ok((ca.issue(&request, usage, validity.0, validity.1)?, key))
        };
        let (signature, signature_key) = issue(Usage::Signature)?;
        let (encryption, encryption_key) = issue(Usage::Encryption)?;
        let own = Arc::new(OwnCertificates { signature, signature_key, encryption, encryption_key });
        let peer_ca = vec![ca.certificate().clone()];
        Ok(Authentication::Envelope(Arc::new(Credentials { own, peer_ca })))
    };
    Ok([of("east")?, of("west")?])
}

/// Main mode and quick mode, of either side.
fn negotiations(rounds: usize) -> Result<Vec<Row>> {
    /// Negotiations of a round.
    const COUNT: u32 = 50;
    let certificates = certificates()?;
    let keys = [key(), key()];
    let mut rows = Vec::new();
    for (what, sides, target) in [
        ("with certificates", &certificates, Some(NEGOTIATIONS)),
        ("with a pre-shared key, group 19", &keys, None),
    ] {
        let mut rates: [Vec<f64>; 2] = Default::default();
        for _ in 0..rounds {
            let mut spent = [Duration::ZERO; 2];
            for number in 1..=COUNT {
                let mut pair = Pair::new();
                pair.configure(1, connection(number, false, sides[1].clone()));
                pair.configure(0, connection(number, true, sides[0].clone()));
                pair.deliver();
                ensure!(pair.children.iter().all(|all| all.len() == 1), "a negotiation failed");
                spent = [spent[0] + pair.spent[0], spent[1] + pair.spent[1]];
            }
            for (rates, spent) in rates.iter_mut().zip(spent) {
                rates.push(f64::from(COUNT) / spent.as_secs_f64());
            }
        }
        for (side, rates) in ["begun", "answered"].into_iter().zip(rates) {
            let rate = median(rates);
            let row = Row::new(format!("{side}, {what}"), rate, "1/s");
            rows.push(match target {
                Some(least) => row.target(format!("≥ {least}"), rate >= least),
                None => row,
            });
        }
    }
    Ok(rows)
}

/// Memory of connections that are up: negotiated with as many spokes, and installed as a gateway does.
fn idle() -> Result<Vec<Row>> {
    let resident = || machine::resident_mib(std::process::id()).map(|mib| mib * 1.048_576);
    let before = resident()?;
    let mut pair = Pair::new();
    let keys = [key(), key()];
    for number in 1..=IDLE {
        pair.configure(1, connection(number, false, keys[1].clone()));
        pair.configure(0, connection(number, true, keys[0].clone()));
        pair.deliver();
        // As often as one address may begin.
        pair.now.steady += Duration::from_secs(1) / FIRST_MESSAGES_PER_SECOND;
    }
    ensure!(pair.children.iter().all(|all| all.len() == IDLE as usize), "a negotiation failed");
    let children = std::mem::take(&mut pair.children);
    let [hub, _] = children;
    // Hub and spokes have the same.
    let negotiated = (resident()? - before) / 2.0;
    let middle = resident()?;
    let mut sad = Sad::default();
    hub.iter().try_for_each(|child| install(&mut sad, child))?;
    let installed = resident()? - middle;
    ensure!(sad.counts() == [IDLE as usize; 2], "an SA was not installed");
    // What a day without packets brings: a question to each peer every ten seconds, and its answer.
    let mut pass = |seconds: u64| {
        let before = pair.spent[0];
        let until = pair.now.steady + Duration::from_secs(seconds);
        while let Some(next) =
            pair.routers.iter().filter_map(Router::next_timer).min().filter(|next| *next <= until)
        {
            pair.now.steady = pair.now.steady.max(next);
            for side in [0, 1] {
                pair.act(side, |router, now| router.handle(now, Input::Tick, &mut SystemRandom));
            }
            pair.deliver();
        }
        (pair.spent[0] - before).as_secs_f64() / seconds as f64 * 100.0
    };
    // What has become due meanwhile is dealt with before.
    pass(60);
    let share = pass(60);
    let total = negotiated + installed;
    Ok(vec![
        Row::new("IKE SAs, configuration, timers", negotiated, "MB"),
        Row::new("ESP SAs", installed, "MB"),
        Row::new("together", total, "MB").at_most(IDLE_MB),
        Row::new("questions whether peers are there, part of a core", share, "%"),
    ])
}

fn install(sad: &mut Sad, child: &ChildSa) -> Result<()> {
    let icv = IcvLength::learnt();
    let selector = network::selector(&child.selector);
    let common = |way: &OneWay| -> Result<Common> {
        Ok(Common {
            spi: way.spi,
            cipher: CipherKey::sm4(&way.cipher_key).context("a key")?,
            integrity: IntegrityKey::sm3(&way.integrity_key),
            icv: icv.clone(),
            selector,
        })
    };
    let outbound = Outbound::new(common(&child.outbound)?, child.inbound.spi, [1; 16]);
    sad.install(Inbound::new(common(&child.inbound)?), outbound);
    Ok(())
}

/// The real process with many connections that nobody uses: how long it takes until they are in force, and its memory.
fn configured(program: &std::path::Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut times = BTreeMap::new();
    for count in [IDLE / 10, IDLE] {
        let place = network::Place::new("idle")?;
        let site = place.start(program)?;
        let document = network::document(0, count, certificates_of_the_api()?);
        let before = Instant::now();
        site.apply(&document)?;
        let took = before.elapsed();
        times.insert(count, took);
        rows.push(Row::new(format!("{count} connections applied"), took.as_secs_f64() * 1e3, "ms"));
        if count == IDLE {
            let memory = machine::resident_mib(site.id())? * 1.048_576;
            rows.push(Row::new("memory after that", memory, "MB").at_most(IDLE_MB));
            let factor = took.as_secs_f64() / times[&(IDLE / 10)].as_secs_f64();
            rows.push(Row::new("time of ten times as many connections", factor, "times").at_most(LINEAR));
        }
    }
    Ok(rows)
}

/// Certificates of a gateway, and the CA of its peers, as documents have them.
fn certificates_of_the_api() -> Result<network::Material> {
    let [east, _] = certificates()?;
    let Authentication::Envelope(credentials) = east else { anyhow::bail!("not certificates") };
    let own = &credentials.own;
    let pem = |certificate: &tongguan_pki::Certificate, key: &PrivateKey| -> Result<(String, String)> {
        Ok((certificate.to_pem(), key.to_pkcs8_pem()?.to_string()))
    };
    Ok(network::Material {
        signature: pem(&own.signature, &own.signature_key)?,
        encryption: pem(&own.encryption, &own.encryption_key)?,
        ca: credentials.peer_ca[0].to_pem(),
    })
}
