//! Random histories against a small reference model: what is answered, what is listed, what is shown.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::collections::BTreeMap;

use common::Rig;

/// The reference: per gateway, what is in force and what is under way.
#[derive(Default)]
struct Model {
    bound: BTreeMap<(usize, &'static str), usize>,
    under_way: BTreeMap<usize, (bool, &'static str, usize)>,
}

impl Model {
    fn bind(&mut self, gateway: usize, role: &'static str, certificate: usize) -> &'static str {
        if self.under_way.contains_key(&gateway) {
            return "VpnGateway.Configuring";
        }
        if self.bound.get(&(gateway, role)) == Some(&certificate) {
            return "OK";
        }
        let holds = self.bound.iter().any(|((g, _), c)| *g == gateway && *c == certificate);
        if holds {
            return "OperationDenied.CertificateDuplicated";
        }
        if self.bound.contains_key(&(gateway, role)) {
            return "OperationDenied.CertificateTypeOccupied";
        }
        self.under_way.insert(gateway, (true, role, certificate));
        "OK"
    }

    fn unbind(&mut self, gateway: usize, role: &'static str, certificate: usize) -> &'static str {
        if self.under_way.contains_key(&gateway) {
            return "VpnGateway.Configuring";
        }
        if self.bound.get(&(gateway, role)) != Some(&certificate) {
            return "InvalidCertificateAssociation.NotFound";
        }
        self.under_way.insert(gateway, (false, role, certificate));
        "OK"
    }

    fn settle(&mut self, gateway: usize) {
        match self.under_way.remove(&gateway) {
            Some((true, role, certificate)) => drop(self.bound.insert((gateway, role), certificate)),
            Some((false, role, _)) => drop(self.bound.remove(&(gateway, role))),
            None => {}
        }
    }

    fn in_use(&self, certificate: usize) -> bool {
        self.bound.values().any(|held| *held == certificate)
            || self.under_way.values().any(|(_, _, held)| *held == certificate)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_agree_with_the_model() {
    const SEED: u64 = 0x7467_7561_6e31;
    const STEPS: usize = 600;
    let mut rig = Rig::new("1s");
    let (mut gateways, mut certificates) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        gateways.push(rig.gateway("NationalStandard").await);
        certificates.push(rig.certificate("EC_SM2").await);
    }
    let (mut model, mut random) = (Model::default(), SEED);
    for step in 0..STEPS {
        let gateway = draw(&mut random, 3);
        let certificate = draw(&mut random, 3);
        let role = ["Encryption", "Signature"][draw(&mut random, 2)];
        match draw(&mut random, 10) {
            0..=3 => {
                let reply = rig.bind(&gateways[gateway], &certificates[certificate], role).await;
                assert_eq!(reply.code(), model.bind(gateway, role, certificate), "seed {SEED}, step {step}");
            }
            4..=6 => {
                let reply = rig.unbind(&gateways[gateway], &certificates[certificate], role).await;
                assert_eq!(
                    reply.code(),
                    model.unbind(gateway, role, certificate),
                    "seed {SEED}, step {step}"
                );
            }
            7 => {
                if model.in_use(certificate) {
                    let id = [("CertificateId", certificates[certificate].as_str())];
                    assert_eq!(rig.kms("DeleteCertificate", &id).await.code(), "Rejected.CertificateInUse");
                }
            }
            8 => {
                rig.advance(2_000);
                rig.service.engine().step(&gateways[gateway]).await.unwrap();
                model.settle(gateway);
            }
            _ => rig = rig.restart("1s"),
        }
        compare(&rig, &model, &gateways, &certificates, step).await;
    }
}

async fn compare(rig: &Rig, model: &Model, gateways: &[String], certificates: &[String], step: usize) {
    for (number, gateway) in gateways.iter().enumerate() {
        let status = if model.under_way.contains_key(&number) { "updating" } else { "active" };
        assert_eq!(rig.status(gateway).await, status, "step {step}");
        let mut expected: Vec<(String, String)> = model
            .bound
            .iter()
            .filter(|((held, _), _)| *held == number)
            .map(|((_, role), certificate)| (certificates[*certificate].clone(), (*role).to_owned()))
            .collect();
        expected.sort();
        assert_eq!(rig.listed(gateway).await, expected, "step {step}");
    }
}

/// A number below `limit` (xorshift, so that a seed gives the same history everywhere).
fn draw(state: &mut u64, limit: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state % limit as u64).unwrap()
}
