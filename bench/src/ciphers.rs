//! The ciphers of the data plane beside OpenSSL's, in processor time, in turns.
//!
//! One packet after the other is what OpenSSL can do; a batch of packets is what a gateway has. The answer to "how
//! fast is a gateway's cipher" are the last rows: sealing and opening, that is cipher and code together, and the same
//! of whole packets, with their framing, vectors and replay window.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use ipnet::IpNet;
use tongguan_esp::sa::{CipherKey, Common, IcvLength, Inbound, IntegrityKey, Outbound, Selector};
use tongguan_esp::{OpenBatch, SealBatch};
use tongguan_smcrypto::{CbcJob, HmacSm3Key, MacJob, Sm4Key, cbc_decrypt, cbc_encrypt, hmac_sm3, self_test};

use crate::machine;
use crate::report::{Report, Row};

/// What a packet's cipher covers: an inner packet of 1,400 bytes with its trailer.
const PACKET_BYTES: usize = 1408;
/// The inner packet.
const INNER_BYTES: usize = 1400;
/// Packets of a full batch.
const BATCH: usize = 64;
/// Batches between two looks at the clock.
const BATCHES: usize = 50;

/// How the ciphers are measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Rounds; the median of them counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// MB/s of one round.
#[derive(Debug, Clone, Copy, Default)]
struct Rates {
    seal: f64,
    open: f64,
    mac: f64,
    alone: f64,
    esp_seal: f64,
    esp_open: f64,
    openssl_cbc: f64,
    openssl_sm3: f64,
}

/// Measures and prints.
///
/// # Errors
/// A self-test fails, this is not the release build, there is no OpenSSL 3, or it is faster.
#[allow(clippy::print_stdout, reason = "the report is what this is for")]
pub(crate) fn run(options: &Options) -> Result<()> {
    self_test()?;
    ensure!(!cfg!(debug_assertions), "measure the release build");
    let rounds = (0..options.rounds.max(1)).map(|_| round()).collect::<Result<Vec<_>>>()?;
    let median = |rate: fn(&Rates) -> f64| {
        let mut rates: Vec<f64> = rounds.iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let together = |a: f64, b: f64| 1.0 / (1.0 / a + 1.0 / b);
    let (cbc, sm3) = (median(|rates| rates.openssl_cbc), median(|rates| rates.openssl_sm3));
    let (seal, open, mac) =
        (median(|rates| rates.seal), median(|rates| rates.open), median(|rates| rates.mac));
    let mut report = Report::default();
    report.fact("packets", format!("{BATCH} of {PACKET_BYTES} bytes, MB/s of processor time"));
    let row = |what: &str, figure: f64, ceiling: f64| Row::new(what, figure, "MB/s").against(ceiling);
    report.section(
        "ciphers, portable path",
        "OpenSSL",
        vec![
            row("SM4-CBC, sealing", seal, cbc),
            row("SM4-CBC, sealing, one packet alone", median(|rates| rates.alone), cbc),
            row("SM4-CBC, opening", open, cbc),
            row("HMAC-SM3", mac, sm3),
            row("seal: SM4-CBC and HMAC-SM3", together(seal, mac), together(cbc, sm3)).at_least_part(1.0),
            row("open: HMAC-SM3 and SM4-CBC", together(open, mac), together(cbc, sm3)).at_least_part(1.0),
            row("ESP: whole packets sealed", median(|rates| rates.esp_seal), together(cbc, sm3))
                .at_least_part(1.0),
            row("ESP: whole packets opened", median(|rates| rates.esp_open), together(cbc, sm3))
                .at_least_part(1.0),
        ],
    );
    println!("{}", report.text());
    ensure!(report.verdicts().missed == 0, "slower than OpenSSL");
    Ok(())
}

fn round() -> Result<Rates> {
    let (key, mac_key) = (Sm4Key::new(&[1; 16]), HmacSm3Key::new(&[2; 32]));
    let mut packets = vec![[3; PACKET_BYTES]; BATCH];
    let cbc = |packets: &mut [[u8; PACKET_BYTES]], batch: fn(&mut [CbcJob<'_>])| {
        let jobs = packets.iter_mut().map(|packet| CbcJob::new(&key, [4; 16], packet));
        batch(&mut jobs.collect::<Result<Vec<_>, _>>().unwrap_or_default());
    };
    let seal = rate(BATCH, || cbc(&mut packets, cbc_encrypt))?;
    let open = rate(BATCH, || cbc(&mut packets, cbc_decrypt))?;
    let alone = rate(1, || cbc(&mut packets[..1], cbc_encrypt))?;
    let mac = rate(BATCH, || {
        hmac_sm3(&mut packets.iter().map(|packet| MacJob::new(&mac_key, packet)).collect::<Vec<_>>());
    })?;
    let (esp_seal, esp_open) = (esp_seal()?, esp_open()?);
    let (openssl_cbc, openssl_sm3) = (openssl("sm4-cbc")?, openssl("sm3")?);
    Ok(Rates { seal, open, mac, alone, esp_seal, esp_open, openssl_cbc, openssl_sm3 })
}

/// What a sending and a receiving SA have in common.
fn common() -> Result<Common> {
    let every = IpNet::new_assert([0, 0, 0, 0].into(), 0);
    Ok(Common {
        spi: 0x1000,
        cipher: CipherKey::sm4(&[1; 16])?,
        integrity: IntegrityKey::sm3(&[2; 32]),
        icv: IcvLength::fixed(12).context("a length")?,
        selector: Selector { local: every, remote: every },
    })
}

/// Fills a batch with inner packets, and seals it.
fn seal(batch: &mut SealBatch, sa: &Arc<Outbound>) {
    batch.clear();
    while let Some(slot) = batch.slot() {
        slot[..INNER_BYTES].fill(7);
        slot[..4].copy_from_slice(&[0x45, 0, (INNER_BYTES >> 8) as u8, INNER_BYTES as u8]);
        batch.push(Arc::clone(sa), INNER_BYTES);
    }
    batch.seal();
}

fn esp_seal() -> Result<f64> {
    let (sa, mut batch) = (Arc::new(Outbound::new(common()?, 0x1000, [3; 16])), SealBatch::default());
    let rate = rate(BATCH, || seal(&mut batch, &sa));
    ensure!(batch.results().all(|(_, result)| result.is_ok()), "a packet was not sealed");
    rate
}

fn esp_open() -> Result<f64> {
    let (sa, mut batch) = (Arc::new(Outbound::new(common()?, 0x1000, [3; 16])), SealBatch::default());
    let mut sealed = Vec::new();
    for _ in 0..BATCHES {
        seal(&mut batch, &sa);
        sealed.extend(batch.results().filter_map(|(_, result)| result.ok().map(<[u8]>::to_vec)));
    }
    let (fresh, mut place, mut good) = (|| common().map(|common| Arc::new(Inbound::new(common))), 0, 0);
    let (mut sa, mut batch) = (fresh()?, OpenBatch::default());
    let rate = rate(BATCH, || {
        if place == sealed.len() {
            place = 0;
            if let Ok(fresh) = fresh() {
                sa = fresh;
            }
        }
        batch.clear();
        for packet in &sealed[place..place + BATCH] {
            let Some(slot) = batch.slot() else { break };
            slot[..packet.len()].copy_from_slice(packet);
            batch.push(Arc::clone(&sa), packet.len());
        }
        batch.open();
        place += BATCH;
        good = batch.results().filter(|(_, result)| result.is_ok()).count();
    });
    ensure!(good == BATCH, "a packet was not opened");
    rate
}

/// MB/s of processor time.
fn rate(packets: usize, mut batch: impl FnMut()) -> Result<f64> {
    let before = machine::cpu_time(std::process::id())?;
    let mut done = 0;
    loop {
        (0..BATCHES).for_each(|_| batch());
        done += BATCHES * packets * PACKET_BYTES;
        let spent = machine::cpu_time(std::process::id())?.saturating_sub(before);
        if spent > Duration::from_millis(500) {
            return Ok(done as f64 / spent.as_secs_f64() / 1e6);
        }
    }
}

/// The same of OpenSSL's own measurement, which is in processor time as well.
fn openssl(algorithm: &str) -> Result<f64> {
    let packet = PACKET_BYTES.to_string();
    let output = Command::new("openssl")
        .args(["speed", "-mr", "-evp", algorithm, "-bytes", &packet, "-seconds", "1"])
        .output()
        .context("cannot run openssl")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate =
        text.lines().find_map(|line| line.strip_prefix("+F:")?.rsplit(':').next()?.parse::<f64>().ok());
    Ok(rate.with_context(|| format!("openssl speed says nothing of {algorithm}: {text}"))? / 1e6)
}
