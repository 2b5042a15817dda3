//! The wall clock jumps back and forth by hours: no gateway stays `updating`, no request is accepted
//! twice, nothing lasts less than no time.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::time::{Duration, Instant};

use common::{RawCall, Rig, triple};

const HOUR_MS: i64 = 3_600_000;

/// Waits for real, moving no clock: the engine must notice the jump by itself.
async fn rests(rig: &Rig, gateway: &str) {
    let begun = Instant::now();
    while !rig.at_rest(gateway) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{gateway} stays as it is");
        // Time passes for both clocks, a little.
        rig.advance(20);
        rig.service.engine().notify();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_gateway_is_stuck_when_the_clock_jumps() {
    let rig = Rig::new("1s");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let _engine = rig.engine();
    for (round, hours) in [-5, 7, -1, 1, -24, 48, -72, 3].into_iter().enumerate() {
        if round % 2 == 0 {
            rig.bind(&gateway, &certificate, "Encryption").await.ok();
        } else {
            rig.unbind(&gateway, &certificate, "Encryption").await.ok();
        }
        assert!(!rig.at_rest(&gateway));
        rig.jump(hours * HOUR_MS);
        rests(&rig, &gateway).await;
        assert_eq!(rig.listed(&gateway).await.len(), (round + 1) % 2, "after a jump of {hours} h");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_accepted_twice_whatever_the_clock_does() {
    let mut rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let mut accepted: Vec<(String, String)> = Vec::new();
    let mut random: u64 = 0x7467_7561_6e33;
    let mut draw = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let parameters = triple(&gateway, &certificate, "Encryption");
    let (mut answered, mut latest) = (0, 0);
    for round in 0..400 {
        let action = ["AssociateVpnGatewayWithCertificate", "DissociateVpnGatewayWithCertificate"][round % 2];
        latest = latest.max(time_of(&rig));
        if draw(3) > 0 {
            // Somebody sets the clock right: later than all that was.
            rig.jump(latest - time_of(&rig) + 1_000);
        }
        let (nonce, time) = (rig.next_nonce(), tongguan_service::context::iso8601(time_of(&rig)));
        let raw =
            RawCall { nonce: &nonce, timestamp: Some(time.clone()), ..RawCall::new(action, &parameters) };
        let reply = rig.send(&raw).await;
        // Refused for good reason: the clock was set back to a time that was used before.
        assert!(reply.status == 200 || reply.code() == "InvalidTimeStamp.Expired" || reply.status < 500);
        if !matches!(reply.code(), "InvalidTimeStamp.Expired" | "SignatureNonceUsed") {
            answered += 1;
            accepted.push((nonce, time));
        }
        match draw(6) {
            0 => rig.jump(i64::try_from(draw(10)).unwrap() * HOUR_MS),
            1 => rig.jump(-i64::try_from(draw(10)).unwrap() * HOUR_MS),
            2 => rig.advance(i64::try_from(draw(45 * 60)).unwrap() * 1_000),
            3 if draw(4) == 0 => rig = rig.restart("0"),
            _ => {}
        }
        // An old request, as it was, at the very time for which it was made, if need be.
        let (nonce, time) = accepted[usize::try_from(draw(accepted.len() as u64)).unwrap()].clone();
        if draw(2) == 0 {
            let made: jiff::Timestamp = time.parse().unwrap();
            rig.jump(made.as_millisecond() - time_of(&rig));
        }
        for action in ["AssociateVpnGatewayWithCertificate", "DissociateVpnGatewayWithCertificate"] {
            let raw =
                RawCall { nonce: &nonce, timestamp: Some(time.clone()), ..RawCall::new(action, &parameters) };
            let reply = rig.send(&raw).await;
            let refused = matches!(reply.code(), "InvalidTimeStamp.Expired" | "SignatureNonceUsed");
            assert!(refused, "round {round}: a replay was answered {} {}", reply.status, reply.code());
        }
    }
    assert!(answered > 100, "the history is worth something: {answered} calls were accepted");
}

fn time_of(rig: &Rig) -> i64 {
    rig.clock.0.load(std::sync::atomic::Ordering::SeqCst)
}
