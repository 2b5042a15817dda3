//! The recorded requests with the keys that they were signed with, and requests of a test's own.

#![allow(dead_code, unused_imports, reason = "each test file uses a part")]

use std::ops::Deref;

use tongguan_rpc::{Credential, RsaPublicKey, Secret};
use tongguan_testkit::recorded::{self, Recorded};

pub(crate) use tongguan_testkit::request::Owned;

pub(crate) fn secret(text: &str) -> Credential {
    Credential::Secret(Secret::from(text))
}

/// One recorded request of an official client.
pub(crate) struct Golden {
    recorded: Recorded,
    pub(crate) key: Credential,
}

impl Deref for Golden {
    type Target = Recorded;

    fn deref(&self) -> &Recorded {
        &self.recorded
    }
}

impl Golden {
    pub(crate) fn is_signed(&self) -> bool {
        self.text("/signature/algorithm") != Some("none")
    }

    pub(crate) fn is_rsa(&self) -> bool {
        self.text("/signature/algorithm") == Some("ACS3-RSA-SHA256")
    }
}

/// All recorded requests.
pub(crate) fn golden() -> Vec<Golden> {
    let pem = std::fs::read_to_string(recorded::folder().join("rsa-test-key.pub.pem")).unwrap();
    let rsa = RsaPublicKey::from_pem(&pem).unwrap();
    let with_key = |recorded| {
        let mut golden = Golden { recorded, key: secret("testsecret") };
        if golden.is_rsa() {
            golden.key = Credential::RsaPublicKey(rsa.clone());
        }
        golden
    };
    recorded::all().into_iter().map(with_key).collect()
}
