//! Certificate requests: parsing them, and issuing what they ask for.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tongguan_pki::{
    Ca, KeySpec, PkiError, PrivateKey, Subject, Usage, create_csr, matches, parse_csr, verify_chain,
};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::request::CertReq;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::{der, within};

/// Memory that reading may hold beside a multiple of the request.
const SLACK: usize = 64 * 1024;
/// Memory that reading may hold per byte of the request.
const FACTOR: usize = 256;
/// Most DNS names of a certificate that is issued.
const NAMES: usize = tongguan_pki::MAX_DNS_NAMES;

/// A key whose requests get past their own signature, and how it signs.
struct Requester {
    key: PrivateKey,
    public: SubjectPublicKeyInfoOwned,
    algorithm: AlgorithmIdentifierOwned,
    ca: Ca,
}

static REQUESTERS: LazyLock<[Requester; 2]> =
    LazyLock::new(|| [KeySpec::EcP256, KeySpec::EcSm2].map(Requester::new));

impl Requester {
    fn new(spec: KeySpec) -> Self {
        let subject = Subject::parse("CN=root,OU=fuzz,O=tongguan,C=CN").expect("it is a subject");
        let key = PrivateKey::generate(spec).expect("there is randomness");
        let own = create_csr(&key, &subject, &[]).expect("it is a request");
        let own = CertReq::from_der(&decode(&own)).expect("it is DER");
        Self {
            key,
            public: own.info.public_key,
            algorithm: own.algorithm,
            ca: Ca::new(spec, &subject, 0, 4_000_000_000).expect("there is randomness"),
        }
    }
}

/// A request in DER, as it is and once more under a key and signature of ours, so that it is also read
/// beyond its signature. The first byte chooses the key.
///
/// # Panics
/// If a signed request is refused for its signature, verifies with one byte changed, or the certificate
/// issued for it does not certify its key under its name.
pub fn csr(data: &[u8]) {
    let Some((choice, request)) = data.split_first() else { return };
    let limit = FACTOR * data.len() + SLACK;
    let _ = within(limit, || parse_csr(&encode(request)));
    let Ok(mut parsed) = CertReq::from_der(request) else { return };
    let requester = &REQUESTERS[usize::from(*choice) % REQUESTERS.len()];
    parsed.info.public_key = requester.public.clone();
    let (Ok(info), Ok(algorithm)) = (parsed.info.to_der(), requester.algorithm.to_der()) else { return };
    let signature = requester.key.sign(&info).expect("the key signs");
    let signed = encode(&der::signed(&info, &algorithm, &signature));
    let outcome = within(limit + SLACK, || parse_csr(&signed));
    let read = match outcome {
        Ok(read) => read,
        Err(error) => {
            assert!(matches!(error, PkiError::Malformed { .. } | PkiError::Pem(_)), "{error}");
            return;
        }
    };
    assert_eq!(read.public_key(), &requester.key.public_key());
    changed(&info, &algorithm, &signature);
    let certificate = match requester.ca.issue(&signed, Usage::Both, 1_000, 2_000) {
        Ok(certificate) => certificate,
        Err(error) => {
            let foreseen = matches!(error, PkiError::DnsName(_) | PkiError::Malformed { .. });
            assert!(foreseen, "{error}");
            return;
        }
    };
    assert!(matches(&certificate, read.public_key()));
    assert_eq!(certificate.subject(), read.subject());
    assert_eq!(certificate.dns_names(), read.dns_names());
    assert!(certificate.dns_names().len() <= NAMES);
    let chain = [requester.ca.certificate().clone()];
    assert_eq!(verify_chain(&certificate, &chain, 1_500), Ok(()));
    assert!(verify_chain(&certificate, &chain, 2_001).is_err());
}

/// One byte changed under the same signature is another request.
fn changed(info: &[u8], algorithm: &[u8], signature: &[u8]) {
    let mut other = info.to_vec();
    let at = other.len() / 2;
    other[at] ^= 1;
    let outcome = parse_csr(&encode(&der::signed(&other, algorithm, signature)));
    assert!(outcome.is_err(), "a signature over other bytes verifies");
}

fn encode(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(der)
    )
}

fn decode(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap_or_default()
}
