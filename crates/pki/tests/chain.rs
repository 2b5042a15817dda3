//! Every way a chain can be wrong has its own error, which names the certificate at fault.
#![allow(clippy::unwrap_used)]

mod support;

use support::{DAY, ID, OpenSsl, generate, signing, subject};
use tongguan_pki::{
    Ca, Certificate, KeySpec, MAX_CHAIN, PkiError, PrivateKey, Subject, Usage, create_csr, verify_chain,
    verify_issued_by,
};

const NOW: i64 = 1_800_000_000;
const FROM: i64 = NOW - DAY;
const TO: i64 = NOW + DAY;

/// Three levels: root, sub-CA, leaf.
struct Pki {
    root: Ca,
    sub: Ca,
    leaf: Certificate,
}

impl Pki {
    fn new(spec: KeySpec) -> Self {
        let root = Ca::new(spec, &subject("root"), FROM, TO).unwrap();
        let sub = root.issue_ca(spec, &subject("sub"), Some(0), FROM, TO).unwrap();
        let leaf = sub.issue(&csr(spec), Usage::Signature, FROM, TO).unwrap();
        Self { root, sub, leaf }
    }

    fn chain(&self) -> Vec<Certificate> {
        vec![self.sub.certificate().clone(), self.root.certificate().clone()]
    }
}

fn csr(spec: KeySpec) -> String {
    create_csr(&generate(spec), &subject("leaf"), &[]).unwrap()
}

/// Index and reason of the failure, which must also name the subject.
fn failure(leaf: &Certificate, chain: &[Certificate], now: i64) -> (usize, PkiError) {
    let error = verify_chain(leaf, chain, now).unwrap_err();
    let text = error.to_string();
    let PkiError::Chain { index, subject, reason } = error else { panic!("{text}") };
    let blamed = if index == 0 { leaf } else { &chain[index - 1] };
    assert!(subject == blamed.subject() && text.contains(&subject), "{text}");
    (index, *reason)
}

#[test]
fn proper_chains_pass() {
    for spec in KeySpec::USUAL {
        let pki = Pki::new(spec);
        let chain = pki.chain();
        for now in [FROM, NOW, TO] {
            verify_chain(&pki.leaf, &chain, now).unwrap();
        }
        verify_chain(&pki.leaf, &[std::slice::from_ref(&pki.leaf), &chain[..]].concat(), NOW).unwrap();
        verify_chain(&pki.leaf, &chain[..1], NOW).unwrap();
        verify_chain(&pki.leaf, &[], NOW).unwrap();
        verify_chain(pki.root.certificate(), &[], NOW).unwrap();
        verify_chain(pki.root.certificate(), &chain[1..], NOW).unwrap();
        let pem: String = chain.iter().map(Certificate::to_pem).collect();
        assert_eq!(Certificate::chain_from_pem(&pem).unwrap(), chain);
    }
}

#[test]
fn order_and_gaps() {
    let pki = Pki::new(KeySpec::EcSm2);
    let [sub, root] = [pki.sub.certificate().clone(), pki.root.certificate().clone()];
    let (index, reason) = failure(&pki.leaf, &[root.clone(), sub.clone()], NOW);
    assert!(index == 0 && matches!(reason, PkiError::WrongOrder { .. }), "{reason}");
    let (index, reason) = failure(&pki.leaf, std::slice::from_ref(&root), NOW);
    assert!(index == 0 && matches!(reason, PkiError::MissingIssuer { .. }), "{reason}");
    assert!(reason.to_string().contains("CN=sub"), "{reason}");
    let (index, reason) = failure(&pki.leaf, &[sub.clone(), sub.clone()], NOW);
    assert!(index == 1 && matches!(reason, PkiError::MissingIssuer { .. }), "{reason}");
    // The leaf may be repeated first, nowhere else.
    let (index, reason) = failure(&pki.leaf, &[sub.clone(), pki.leaf.clone(), root.clone()], NOW);
    assert!(index == 1 && matches!(reason, PkiError::WrongOrder { .. }), "{reason}");
    let (index, reason) = failure(&pki.leaf, &[sub, root, pki.leaf.clone()], NOW);
    assert!(index == 2 && matches!(reason, PkiError::WrongOrder { .. }), "{reason}");
    // The index counts certificates as given, the repeated leaf included.
    let repeated = [pki.leaf.clone(), pki.sub.certificate().clone(), pki.sub.certificate().clone()];
    let (index, reason) = failure(&pki.leaf, &repeated, NOW);
    assert!(index == 2 && matches!(reason, PkiError::MissingIssuer { .. }), "{reason}");
    let many = vec![pki.root.certificate().clone(); 11];
    let error = verify_chain(&pki.leaf, &many, NOW).unwrap_err();
    assert_eq!(error, PkiError::ChainTooLong { found: 11, limit: 10 });
    let pem: String = many.iter().map(Certificate::to_pem).collect();
    assert!(matches!(Certificate::chain_from_pem(&pem), Err(PkiError::Pem(_))));
}

/// CAs with name constraints, made by OpenSSL: what lies inside passes, what does not is named.
#[test]
fn names_outside_of_constraints_are_named() {
    let ssl = OpenSsl::new();
    let spec = KeySpec::EcSm2;
    let sign = signing(spec);
    let key = generate(spec);
    let issued = |number: usize, constraints: &str, alternative: &str, subject: &str| {
        let config = format!(
            "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n\
             nameConstraints={constraints}\n[leaf]\nsubjectAltName={alternative}\nkeyUsage=digitalSignature\n\
             [permitted]\nC=CN\nO=inside\n[elsewhere]\nC=CN\nO=elsewhere\n"
        );
        let name = format!("c{number}");
        ssl.write(&format!("{name}.cnf"), config);
        ssl.key(&name, spec);
        ssl.ok(&format!(
            "req -x509 -new -key {name}.key {sign} -subj /C=CN/O=root -days 30 -config {name}.cnf -extensions ca -out {name}.pem"
        ));
        ssl.write("leaf.csr", create_csr(&key, &Subject::parse(subject).unwrap(), &[]).unwrap());
        ssl.ok(&format!(
            "x509 -req -in leaf.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial {sign} -vfyopt {ID} -days 10 \
             -extfile {name}.cnf -extensions leaf -out leaf.pem"
        ));
        let read = |file: &str| Certificate::from_pem(&ssl.read(file)).unwrap();
        (read("leaf.pem"), read(&format!("{name}.pem")))
    };
    let inside = "CN=gw,OU=net,O=inside,C=CN";
    let dir = "permitted;dirName:permitted";
    for (number, (constraints, alternative, subject, outside)) in [
        ("permitted;DNS:example.com", "DNS:a.example.com", inside, None),
        ("critical,permitted;DNS:example.com", "DNS:example.com", inside, None),
        ("permitted;DNS:example.com", "DNS:a.example.org", inside, Some("DNS:a.example.org")),
        ("permitted;DNS:example.com", "DNS:notexample.com", inside, Some("DNS:notexample.com")),
        ("excluded;DNS:example.com", "DNS:A.EXAMPLE.COM", inside, Some("DNS:A.EXAMPLE.COM")),
        ("excluded;DNS:example.com", "DNS:a.example.org", inside, None),
        (dir, "DNS:a.example.org", inside, None),
        (dir, "DNS:a.example.org", "CN=gw,OU=net,O=outside,C=CN", Some("O=outside")),
        (dir, "dirName:permitted", inside, None),
        (dir, "dirName:elsewhere", inside, Some("O=elsewhere")),
    ]
    .into_iter()
    .enumerate()
    {
        let (leaf, root) = issued(number, constraints, alternative, subject);
        let now = support::now() + 60;
        match (verify_chain(&leaf, &[root], now), outside) {
            (Ok(()), None) => {}
            (Err(error), Some(outside)) => {
                let text = error.to_string();
                assert!(matches!(error.reason(), PkiError::NameConstraint { .. }), "{text}");
                assert!(text.contains(outside), "{constraints} {text}");
            }
            (outcome, expected) => panic!("{constraints} {alternative}: {outcome:?}, expected {expected:?}"),
        }
    }
    // A form that is not compared: refused if critical.
    let (leaf, root) = issued(20, "critical,permitted;email:example.com", "DNS:a.example.com", inside);
    let error = verify_chain(&leaf, &[root], support::now() + 60).unwrap_err();
    assert!(matches!(error.reason(), PkiError::UnhandledCriticalExtension { .. }), "{error}");
}

#[test]
fn dates() {
    let pki = Pki::new(KeySpec::EcSm2);
    let (index, reason) = failure(&pki.leaf, &pki.chain(), TO + 1);
    assert_eq!((index, reason), (0, PkiError::Expired { not_after: TO }));
    let (index, reason) = failure(&pki.leaf, &pki.chain(), FROM - 1);
    assert_eq!((index, reason), (0, PkiError::NotYetValid { not_before: FROM }));

    let old = pki.root.issue_ca(KeySpec::EcSm2, &subject("sub"), None, FROM - DAY, FROM).unwrap();
    let leaf = old.issue(&csr(KeySpec::EcSm2), Usage::Both, FROM, TO).unwrap();
    let chain = [old.certificate().clone(), pki.root.certificate().clone()];
    let (index, reason) = failure(&leaf, &chain, NOW);
    assert_eq!((index, &reason), (1, &PkiError::Expired { not_after: FROM }));
    assert_eq!(reason.to_string(), "expired: not valid after 2027-01-14T08:00:00Z");
    let error = pki.sub.issue(&csr(KeySpec::EcSm2), Usage::Both, TO, FROM).unwrap_err();
    assert!(matches!(error, PkiError::Validity(_)));
    assert!(matches!(Ca::new(KeySpec::EcSm2, &subject("x"), -1, 0), Err(PkiError::Validity(_))));
}

/// An end entity that issues certificates, with and without basicConstraints.
#[test]
fn issuers_that_are_no_cas() {
    let ssl = OpenSsl::new();
    let spec = KeySpec::EcSm2;
    let root = Ca::new(spec, &subject("root"), FROM, TO).unwrap();
    let key = generate(spec);
    let impostor_csr = create_csr(&key, &subject("sub"), &[]).unwrap();
    let impostor = root.issue(&impostor_csr, Usage::Both, FROM, TO).unwrap();
    ssl.write("sub.pem", impostor.to_pem());
    ssl.write("sub.key", &*key.to_pkcs8_pem().unwrap());
    ssl.write("leaf.csr", csr(spec));
    ssl.certify("sub", "leaf", &format!("{} -vfyopt {}", signing(spec), support::ID));
    let leaf = Certificate::from_pem(&ssl.read("leaf.pem")).unwrap();
    verify_issued_by(&leaf, &impostor).unwrap();
    let (index, reason) = failure(&leaf, &[impostor, root.certificate().clone()], NOW);
    assert_eq!((index, reason), (1, PkiError::NotCa));
    assert!(matches!(Ca::from_parts(key, root.certificate().clone()), Err(PkiError::InvalidPrivateKey(_))));
}

/// Issuers made by OpenSSL with extensions our own CA does not write.
#[test]
fn rights_and_critical_extensions_of_issuers() {
    let ssl = OpenSsl::new();
    let spec = KeySpec::EcP256;
    for (extensions, expected) in [
        ("basicConstraints=critical,CA:TRUE\nkeyUsage=cRLSign", Some(PkiError::NoCertSign)),
        ("basicConstraints=CA:FALSE", Some(PkiError::NotCa)),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;email:x.cn",
            Some(PkiError::UnhandledCriticalExtension { oid: "2.5.29.30".into() }),
        ),
        ("basicConstraints=critical,CA:TRUE\n1.2.3.4=DER:0500", None),
        ("basicConstraints=CA:TRUE\ncertificatePolicies=critical,1.2.3.4", None),
    ] {
        let config = format!("[req]\ndistinguished_name=dn\nx509_extensions=ca\n[dn]\n[ca]\n{extensions}\n");
        ssl.write("ca.cnf", config);
        ssl.key("ca", spec);
        ssl.ok("req -x509 -new -key ca.key -sha256 -subj /CN=ca -days 3650 -config ca.cnf -out ca.pem");
        ssl.write("leaf.csr", csr(spec));
        ssl.certify("ca", "leaf", &signing(spec));
        let leaf = Certificate::from_pem(&ssl.read("leaf.pem")).unwrap();
        let ca = Certificate::from_pem(&ssl.read("ca.pem")).unwrap();
        let now = leaf.not_before();
        match expected {
            Some(reason) => assert_eq!(failure(&leaf, &[ca], now), (1, reason)),
            None => verify_chain(&leaf, &[ca], now).unwrap(),
        }
    }
}

#[test]
fn path_length() {
    let pki = Pki::new(KeySpec::EcSm2);
    let below = pki.sub.issue_ca(KeySpec::EcSm2, &subject("below"), None, FROM, TO).unwrap();
    let leaf = below.issue(&csr(KeySpec::EcSm2), Usage::Both, FROM, TO).unwrap();
    let chain = [&[below.certificate().clone()], &pki.chain()[..]].concat();
    let (index, reason) = failure(&leaf, &chain, NOW);
    assert_eq!((index, reason), (2, PkiError::PathLength { allowed: 0, found: 1 }));
}

#[test]
fn a_chain_has_a_greatest_length() {
    let pki = Pki::new(KeySpec::EcSm2);
    let chain = |length| vec![pki.root.certificate().clone(); length];
    let error = verify_chain(&pki.leaf, &chain(MAX_CHAIN + 1), NOW).unwrap_err();
    assert_eq!(error, PkiError::ChainTooLong { found: MAX_CHAIN + 1, limit: MAX_CHAIN });
    // Of the greatest length, it fails for what is in it.
    failure(&pki.leaf, &chain(MAX_CHAIN), NOW);
}

/// Each single bit of a certificate counts: flipped, it fails to parse or to verify.
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let pki = Pki::new(KeySpec::EcSm2);
    let issuer = pki.sub.certificate();
    for at in 0..pki.leaf.der().len() {
        for bit in 0..8 {
            let mut der = pki.leaf.der().to_vec();
            der[at] ^= 1 << bit;
            if let Ok(changed) = Certificate::from_der(&der) {
                assert!(verify_issued_by(&changed, issuer).is_err(), "octet {at} bit {bit}");
            }
        }
    }
    let mut der = pki.leaf.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let changed = Certificate::from_der(&der).unwrap();
    assert_eq!(failure(&changed, &pki.chain(), NOW), (0, PkiError::BadSm2Signature));
}

/// A CA of the right name with another key.
#[test]
fn the_wrong_key_under_the_right_name() {
    for spec in KeySpec::USUAL {
        let pki = Pki::new(spec);
        let other = Pki::new(spec);
        let bad = if spec == KeySpec::EcSm2 { PkiError::BadSm2Signature } else { PkiError::BadSignature };
        assert_eq!(failure(&pki.leaf, &other.chain(), NOW), (0, bad.clone()));
        let mixed = [pki.sub.certificate().clone(), other.root.certificate().clone()];
        assert_eq!(failure(&pki.leaf, &mixed, NOW), (1, bad));
    }
    let (sm, ec) = (Pki::new(KeySpec::EcSm2), Pki::new(KeySpec::EcP256));
    let (index, reason) = failure(&sm.leaf, &ec.chain(), NOW);
    assert!(index == 0 && matches!(reason, PkiError::AlgorithmMismatch { .. }), "{reason}");
}

/// C=CHN is seen in the field. The type of an OU is changed to C, which spoils the signature only.
#[test]
fn country_codes_of_three_letters_are_read() {
    let root = Ca::new(KeySpec::EcSm2, &subject("root"), FROM, TO).unwrap();
    let key = generate(KeySpec::EcSm2);
    let odd = tongguan_pki::Subject::parse("CN=test,OU=CHN,O=test,C=CN").unwrap();
    let leaf = root.issue(&create_csr(&key, &odd, &[]).unwrap(), Usage::Both, FROM, TO).unwrap();
    let mut der = leaf.der().to_vec();
    let at = der.windows(6).position(|w| w == b"\x0b\x0c\x03CHN").unwrap();
    der[at] = 6;
    assert_eq!(Certificate::from_der(&der).unwrap().subject(), "CN=test,C=CHN,O=test,C=CN");
}

#[test]
fn trailing_bytes_are_refused() {
    let root = Ca::new(KeySpec::EcSm2, &subject("root"), FROM, TO).unwrap();
    let mut der = root.certificate().der().to_vec();
    der.push(0);
    assert!(matches!(Certificate::from_der(&der), Err(PkiError::Malformed { .. })));
    let again = Ca::from_parts(
        PrivateKey::from_pkcs8_der(&root.key().to_pkcs8_der().unwrap()).unwrap(),
        root.certificate().clone(),
    );
    assert!(again.is_ok());
}
