//! Mutated copies of the recorded requests, sent to the running server over plain TCP.
//!
//! Half are changed after they were signed: bytes, framing, headers. Half have their parameters changed and
//! are signed anew with the server's own key, so that they get past the gate. Whatever comes of it: an
//! answer that can be read and is no 5xx wherever HTTP allows one, and memory that stays flat.
//!
//! `MUTATIONS` is how many are sent (`make mutations` sends 100,000), `SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may stop where something is wrong, and say so"
)]

mod bytes;
mod exchange;
mod parameters;
mod random;
mod recorded;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use exchange::{Client, Outcome};
use parameters::Ids;
use random::Random;
use recorded::Recorded;
use server::Server;
use tongguan_testkit::api::{REGION, VPC};

/// Mutated requests of an ordinary run.
const MUTATIONS: usize = 4_000;
/// Connections that take turns; each is used until the server or a mutation ends it.
const CONNECTIONS: usize = 4;
/// Rounds, of each of which the lowest resident memory counts: what is above that is passing.
const ROUNDS: usize = 4;
/// Mutated requests before the first round at least, so that connections, caches and threads are there; a
/// long run warms up for a quarter of its length.
const WARMING: usize = 2_000;
/// Bytes that a used nonce may take: it has to be remembered for half an hour.
const NONCE_BYTES: u64 = 64;
/// What the server may grow by after the first round besides, KiB: an allocator does not give back at once
/// what heads of 300 KiB and bodies of 3 MiB took. A request that left 450 bytes behind would break it in the
/// long form.
const GROWTH_KIB: u64 = 32 * 1024;
/// The same in a run of few mutations: a quarter is over before the allocator has given anything back.
const GROWTH_OF_FEW_KIB: u64 = 48 * 1024;
/// Mutations from which a run counts as long.
const MANY: usize = 50_000;

/// What came of a run, by kind of mutation and status.
type Tally = BTreeMap<(&'static str, String), usize>;

#[test]
fn mutated_requests_get_answers() {
    let count = variable("MUTATIONS").unwrap_or(MUTATIONS as u64) as usize;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable("SEED").unwrap_or(clock.as_nanos() as u64);
    println!("{count} mutations, SEED={seed}");
    let recorded = Arc::new(recorded::all());
    let server = Server::start();
    let ids = Arc::new(parameters::furnish(&server));
    let mut tally = Tally::new();
    let mut memory = Vec::new();
    for round in 0..=ROUNDS {
        let share = if round == 0 { WARMING.max(count / 4) } else { count.div_ceil(ROUNDS) };
        let share = share.div_ceil(CONNECTIONS);
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|at| {
                let (recorded, ids) = (Arc::clone(&recorded), Arc::clone(&ids));
                let random = Random::new(seed.wrapping_add((round * CONNECTIONS + at) as u64));
                let address = server.address.clone();
                std::thread::spawn(move || work(&address, &recorded, &ids, random, share))
            })
            .collect();
        let mut lowest = server.memory_kib();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
            lowest = lowest.min(server.memory_kib());
        }
        for worker in workers {
            for (key, number) in worker.join().unwrap_or_else(|_| panic!("SEED={seed}")) {
                *tally.entry(key).or_default() += number;
            }
        }
        // What came of warming up is checked and not counted.
        if round == 0 {
            tally.clear();
        } else {
            memory.push(lowest.min(server.memory_kib()));
        }
    }
    report(&tally, &memory);
    let past = |(kind, answer): &(&str, String)| *kind == "signed anew" && !gate_refused(answer);
    let anew: usize = tally.iter().filter(|((kind, _), _)| *kind == "signed anew").map(|(_, n)| n).sum();
    let passed: usize = tally.iter().filter(|(key, _)| past(key)).map(|(_, n)| n).sum();
    assert!(passed * 2 > anew, "only {passed} of {anew} requests signed anew got past the gate");
    server.still_works();
    let (warm, end) = (memory[0], memory[ROUNDS - 1]);
    let growth = if count >= MANY { GROWTH_KIB } else { GROWTH_OF_FEW_KIB };
    let growth = growth + anew as u64 * NONCE_BYTES / 1024;
    assert!(end <= warm + growth, "resident memory grew from {warm} to {end} KiB, SEED={seed}");
    server.stop();
}

/// A change takes the store a moment. A client that ended its half of the connection after sending its
/// request was dropped in that moment, though the change was made.
#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let server = Server::start();
    let mut client = Client::new(&server.address);
    for _ in 0..20 {
        let message = parameters::plain("CreateVpc", VPC, vec![("RegionId".into(), REGION.into())]);
        let outcome = client.exchange(&message, true);
        assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    }
    server.stop();
}

/// Sends `count` mutated requests, one after the other.
fn work(address: &str, recorded: &[Recorded], ids: &Ids, mut random: Random, count: usize) -> Tally {
    let mut client = Client::new(address);
    let mut tally = Tally::new();
    for number in 0..count {
        let (kind, message) = if number % 2 == 0 {
            bytes::mutated(recorded, &mut random)
        } else {
            ("signed anew", parameters::signed_anew(recorded, ids, &mut random))
        };
        let answers = match client.exchange(&message, random.once_in(8)) {
            Outcome::Answered(answers) => answers,
            Outcome::NeverComplete => vec!["none, as it was not complete".to_owned()],
        };
        for answer in answers {
            *tally.entry((kind, answer)).or_default() += 1;
        }
    }
    tally
}

fn gate_refused(answer: &str) -> bool {
    ["Signature", "TimeStamp", "AccessKey", "Nonce"].iter().any(|word| answer.contains(word))
}

fn report(tally: &Tally, memory: &[u64]) {
    for ((kind, answer), number) in tally {
        println!("{number:>8}  {kind:<24} {answer}");
    }
    println!("lowest resident memory of each quarter, KiB: {memory:?}");
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
