//! Two implementations must meet: everything this crate writes is read by OpenSSL 3, and the other
//! way round.
#![allow(clippy::unwrap_used)]

mod support;

use support::{DAY, ID, OpenSsl, accepted, generate, now, raw, signing, subject, verifying};
use tongguan_pki::{
    Ca, Certificate, KeySpec, PkiError, PrivateKey, PublicKey, Subject, Usage, create_csr, matches,
    parse_csr, self_signature_uses_empty_id, verify_chain, verify_issued_by,
};

fn certificate(ssl: &OpenSsl, name: &str) -> Certificate {
    Certificate::from_pem(&ssl.read(name)).unwrap()
}

#[test]
fn the_command_is_openssl_3() {
    let version = OpenSsl::new().ok("version");
    assert!(version.starts_with("OpenSSL 3"), "OpenSSL 3 is needed, found {version}");
}

/// Our request, their verification, their CA, our chain verification.
#[test]
fn openssl_certifies_our_requests() {
    for spec in KeySpec::USUAL {
        let ssl = OpenSsl::new();
        ssl.root("ca", spec, &signing(spec));
        let key = generate(spec);
        let names = ["a.example.com".to_owned(), "b.example.com".to_owned()];
        ssl.write("leaf.csr", create_csr(&key, &subject("leaf"), &names).unwrap());

        let verdict = ssl.ok(&format!("req -verify -noout -in leaf.csr {}", verifying(spec)));
        assert!(verdict.contains("verify OK"), "{spec}: {verdict}");
        ssl.certify("ca", "leaf", &format!("{} {}", signing(spec), verifying(spec)));

        let (leaf, root) = (certificate(&ssl, "leaf.pem"), certificate(&ssl, "ca.pem"));
        verify_chain(&leaf, std::slice::from_ref(&root), now()).unwrap();
        verify_chain(&leaf, &[leaf.clone(), root.clone()], now()).unwrap();
        verify_chain(&root, &[], now()).unwrap();
        assert!(matches(&leaf, &key.public_key()) && !matches(&root, &key.public_key()));
        assert_eq!(leaf.key_spec().unwrap(), spec);
        assert_eq!(leaf.is_sm(), spec == KeySpec::EcSm2);
        assert_eq!(leaf.dns_names(), names);
        assert_eq!(leaf.subject(), "CN=leaf,OU=kms,O=aliyun,C=CN");
        assert_eq!(leaf.issuer(), "CN=openssl-root,OU=kms,O=aliyun,C=CN");
        assert!(root.is_ca() && !leaf.is_ca());
        let expected = match spec {
            KeySpec::EcP256 => "ECDSA-SHA256",
            KeySpec::EcSm2 => "SM2-SM3",
            _ => "RSA2048-SHA256",
        };
        assert_eq!(leaf.signature_algorithm(), expected);
    }
}

#[test]
fn a_certificate_signed_with_the_empty_user_id_is_diagnosed() {
    let ssl = OpenSsl::new();
    ssl.root("ca", KeySpec::EcSm2, &signing(KeySpec::EcSm2));
    let csr = create_csr(&generate(KeySpec::EcSm2), &subject("leaf"), &[]).unwrap();
    ssl.write("leaf.csr", csr);
    ssl.certify("ca", "leaf", &format!("-sm3 -vfyopt {ID}"));
    let (leaf, root) = (certificate(&ssl, "leaf.pem"), certificate(&ssl, "ca.pem"));

    assert_eq!(verify_issued_by(&leaf, &root), Err(PkiError::EmptyUserId));
    let error = verify_chain(&leaf, std::slice::from_ref(&root), now()).unwrap_err();
    assert!(matches!(error, PkiError::Chain { index: 0, .. }) && error.is_empty_user_id());
    assert!(error.to_string().contains("-sigopt distid:1234567812345678"), "{error}");
    assert!(!self_signature_uses_empty_id(&root));
}

#[test]
fn a_root_signed_with_the_empty_user_id_is_diagnosed() {
    let ssl = OpenSsl::new();
    ssl.root("ca", KeySpec::EcSm2, "-sm3");
    let csr = create_csr(&generate(KeySpec::EcSm2), &subject("leaf"), &[]).unwrap();
    ssl.write("leaf.csr", csr);
    ssl.certify("ca", "leaf", &format!("{} -vfyopt {ID}", signing(KeySpec::EcSm2)));
    let (leaf, root) = (certificate(&ssl, "leaf.pem"), certificate(&ssl, "ca.pem"));

    assert!(self_signature_uses_empty_id(&root));
    let error = verify_chain(&leaf, std::slice::from_ref(&root), now()).unwrap_err();
    assert!(matches!(error, PkiError::Chain { index: 1, .. }) && error.is_empty_user_id());
    let error = verify_chain(&root, &[], now()).unwrap_err();
    assert!(matches!(error, PkiError::Chain { index: 0, .. }) && error.is_empty_user_id());
}

/// Requests written by OpenSSL are read and certified here.
#[test]
fn our_ca_certifies_requests_of_openssl() {
    for spec in KeySpec::USUAL {
        let ssl = OpenSsl::new();
        ssl.key("leaf", spec);
        let options =
            "-new -key leaf.key -subj /C=CN/O=aliyun/OU=kms/CN=leaf -addext subjectAltName=DNS:x.cn";
        ssl.ok(&format!("req {options} {} -out leaf.csr", signing(spec)));
        let csr = parse_csr(&ssl.read("leaf.csr")).unwrap();
        let key = PrivateKey::from_pkcs8_pem(&ssl.read("leaf.key")).unwrap();
        assert_eq!(csr.public_key(), &key.public_key());
        assert_eq!(
            (csr.subject().as_str(), csr.dns_names()),
            ("CN=leaf,OU=kms,O=aliyun,C=CN", &["x.cn".to_owned()][..])
        );

        let ca = Ca::new(spec, &subject("root"), now() - DAY, now() + DAY).unwrap();
        let leaf = ca.issue(&ssl.read("leaf.csr"), Usage::Tls, now() - DAY, now() + DAY).unwrap();
        verify_chain(&leaf, std::slice::from_ref(ca.certificate()), now()).unwrap();
        assert_eq!(leaf.dns_names(), ["x.cn"]);
    }
    let ssl = OpenSsl::new();
    ssl.key("leaf", KeySpec::EcSm2);
    ssl.ok("req -new -key leaf.key -sm3 -subj /C=CN/O=aliyun/OU=kms/CN=leaf -out leaf.csr");
    assert_eq!(parse_csr(&ssl.read("leaf.csr")), Err(PkiError::EmptyUserId));
}

/// OpenSSL 3.0 hands the user id to the first certificate only, so SM2 chains are verified link by
/// link with -partial_chain.
#[test]
fn openssl_verifies_what_our_ca_issues() {
    for issuer in KeySpec::USUAL {
        for spec in KeySpec::USUAL {
            let ssl = OpenSsl::new();
            let (from, to) = (now() - DAY, now() + DAY);
            let root = Ca::new(issuer, &subject("root"), from, to).unwrap();
            let sub = root.issue_ca(issuer, &subject("sub"), Some(0), from, to).unwrap();
            let csr = create_csr(&generate(spec), &subject("leaf"), &[]).unwrap();
            ssl.write("root.pem", root.certificate().to_pem());
            ssl.write("sub.pem", sub.certificate().to_pem());
            for usage in [Usage::Signature, Usage::Encryption, Usage::Both, Usage::Tls] {
                let leaf = sub.issue(&csr, usage, from, to).unwrap();
                verify_chain(&leaf, &[sub.certificate().clone(), root.certificate().clone()], now()).unwrap();
                ssl.write("leaf.pem", leaf.to_pem());
                let options = verifying(issuer);
                let link = "verify -x509_strict -partial_chain -trusted";
                ssl.ok(&format!("{link} sub.pem {options} leaf.pem"));
                ssl.ok(&format!("{link} root.pem {options} sub.pem"));
                ssl.ok("verify -x509_strict -CAfile root.pem root.pem");
                if issuer != KeySpec::EcSm2 {
                    ssl.ok("verify -x509_strict -CAfile root.pem -untrusted sub.pem leaf.pem");
                }
            }
        }
    }
}

/// `openssl verify` does not hand the user id to a root, so its signature is taken out and verified.
#[test]
fn openssl_verifies_the_signature_of_our_root() {
    for spec in KeySpec::USUAL {
        let ssl = OpenSsl::new();
        let root = Ca::new(spec, &subject("root"), now() - DAY, now() + DAY).unwrap();
        ssl.write("root.pem", root.certificate().to_pem());
        ssl.ok("x509 -in root.pem -noout -pubkey -out root.pub");
        ssl.ok("asn1parse -in root.pem -strparse 4 -noout -out signed");
        let listing = ssl.ok("asn1parse -in root.pem");
        let signature = listing.lines().rfind(|l| l.contains("BIT STRING")).unwrap();
        let offset = signature.split(':').next().unwrap().trim();
        ssl.ok(&format!("asn1parse -in root.pem -strparse {offset} -noout -out signature"));
        let files = "-pubin -inkey root.pub -in signed -sigfile signature";
        ssl.ok(&format!("pkeyutl -verify {files} {}", raw(spec)));
    }
}

/// Larger RSA keys and P-384 occur among roots, though the API makes no such keys.
#[test]
fn other_issuer_keys_are_understood() {
    for (algorithm, digest, name) in [
        ("RSA -pkeyopt rsa_keygen_bits:3072", "-sha512", "RSA3072-SHA512"),
        ("EC -pkeyopt ec_paramgen_curve:P-384", "-sha384", "ECDSA-SHA384"),
        ("EC -pkeyopt ec_paramgen_curve:P-384", "-sha256", "ECDSA-SHA256"),
        ("EC -pkeyopt ec_paramgen_curve:P-256", "-sha384", "ECDSA-SHA384"),
    ] {
        let ssl = OpenSsl::new();
        ssl.ok(&format!("genpkey -algorithm {algorithm} -out ca.key"));
        ssl.ok(&format!("req -x509 -new -key ca.key {digest} -subj /CN=root -days 3 -out ca.pem"));
        let csr = create_csr(&generate(KeySpec::EcP256), &subject("leaf"), &[]).unwrap();
        ssl.write("leaf.csr", csr);
        ssl.certify("ca", "leaf", digest);
        let (leaf, root) = (certificate(&ssl, "leaf.pem"), certificate(&ssl, "ca.pem"));
        verify_chain(&leaf, &[root], now()).unwrap();
        assert_eq!(leaf.signature_algorithm(), name);
    }
}

#[test]
fn unsupported_algorithms_are_named() {
    let ssl = OpenSsl::new();
    for (algorithm, hint) in [
        ("ED25519", "1.3.101.112"),
        ("EC -pkeyopt ec_paramgen_curve:secp256k1", "1.3.132.0.10"),
        ("RSA -pkeyopt rsa_keygen_bits:2560", "2560"),
    ] {
        ssl.ok(&format!("genpkey -algorithm {algorithm} -out x.key"));
        ssl.ok("req -x509 -new -key x.key -subj /CN=x -days 3 -out x.pem");
        let error = certificate(&ssl, "x.pem").key_spec().unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
        assert!(!certificate(&ssl, "x.pem").is_sm());
        let error = PrivateKey::from_pkcs8_pem(&ssl.read("x.key")).unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn keys_pass_to_and_fro() {
    for spec in KeySpec::USUAL {
        let ssl = OpenSsl::new();
        let ours = generate(spec);
        ssl.write("ours.key", &*ours.to_pkcs8_pem().unwrap());
        ssl.ok("pkey -in ours.key -check -noout");
        ssl.ok("pkey -in ours.key -pubout -out ours.pub");
        assert_eq!(ssl.read("ours.pub"), ours.public_key().to_pem());

        ssl.key("theirs", spec);
        ssl.ok("pkey -in theirs.key -pubout -out theirs.pub");
        let theirs = PrivateKey::from_pkcs8_pem(&ssl.read("theirs.key")).unwrap();
        assert_eq!((theirs.spec(), theirs.public_key().to_pem()), (spec, ssl.read("theirs.pub")));
        assert_eq!(PublicKey::from_pem(&ssl.read("theirs.pub")).unwrap(), theirs.public_key());
        assert_ne!(theirs.public_key(), ours.public_key());
    }
}

/// Keys in the forms that OpenSSL 1 wrote and people still have, and the larger ones of RSA.
#[test]
fn keys_are_read_in_every_form_of_openssl() {
    for spec in KeySpec::ALL {
        let ssl = OpenSsl::new();
        ssl.key("new", spec);
        let (form, label) = match spec {
            KeySpec::EcP256 => ("ec", "EC PRIVATE KEY"),
            KeySpec::EcSm2 => ("ec", "SM2 PRIVATE KEY"),
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => ("rsa -traditional", "RSA PRIVATE KEY"),
        };
        ssl.ok(&format!("{form} -in new.key -out old.key"));
        let (new, old) = (ssl.read("new.key"), ssl.read("old.key").replace("EC PRIVATE KEY", label));
        assert!(old.contains(&format!("-----BEGIN {label}-----")), "{old}");
        let ec = old.replace("SM2 PRIVATE KEY", "EC PRIVATE KEY");
        assert_eq!(PrivateKey::from_pem(&ec).unwrap().spec(), spec);
        let key = PrivateKey::from_pem(&new).unwrap();
        assert_eq!(key.spec(), spec);
        assert_eq!(PrivateKey::from_pem(&old).unwrap().public_key(), key.public_key());
        ssl.write("ours.key", &*key.to_pkcs8_pem().unwrap());
        ssl.ok("pkey -in ours.key -check -noout");
        let csr = create_csr(&key, &Subject::of(&[("CN", "a.cn"), ("C", "CN")]).unwrap(), &[]).unwrap();
        ssl.write("a.csr", csr);
        let verdict = ssl.ok(&format!("req -verify -noout -in a.csr {}", verifying(spec)));
        assert!(verdict.contains("verify OK"), "{spec}: {verdict}");
        for wrong in [[new.as_str(), &old].concat(), ssl.read("a.csr"), String::new()] {
            assert!(matches!(PrivateKey::from_pem(&wrong), Err(PkiError::Pem(_))));
        }
    }
    let ssl = OpenSsl::new();
    ssl.ok("ecparam -name SM2 -genkey -out with-parameters.key");
    assert!(ssl.read("with-parameters.key").contains("PARAMETERS"));
    assert_eq!(PrivateKey::from_pem(&ssl.read("with-parameters.key")).unwrap().spec(), KeySpec::EcSm2);
}

/// What is exported is opened with the passphrase and with no other.
#[test]
fn exports_are_opened_with_their_passphrase() {
    let ca = Ca::new(KeySpec::EcP256, &subject("root"), now() - DAY, now() + DAY).unwrap();
    for spec in KeySpec::USUAL {
        let ssl = OpenSsl::new();
        let key = generate(spec);
        let leaf = ca.issue(
            &create_csr(&key, &subject("leaf"), &[]).unwrap(),
            Usage::Both,
            now() - DAY,
            now() + DAY,
        );
        let leaf = leaf.unwrap();
        // The second fills a block of the digest, the third has letters beyond ASCII.
        for passphrase in ["secret", &"p".repeat(70), "口令"] {
            ssl.write("pass", passphrase);
            ssl.write("key.pem", key.to_encrypted_pem(passphrase).unwrap());
            assert!(ssl.read("key.pem").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
            ssl.ok("pkcs8 -in key.pem -passin file:pass -out plain.pem");
            assert_eq!(PrivateKey::from_pem(&ssl.read("plain.pem")).unwrap().public_key(), key.public_key());
            ssl.write(
                "all.p12",
                key.to_pkcs12(&leaf, std::slice::from_ref(ca.certificate()), passphrase).unwrap(),
            );
            ssl.ok("pkcs12 -in all.p12 -passin file:pass -nodes -nocerts -out plain.pem");
            assert_eq!(PrivateKey::from_pem(&ssl.read("plain.pem")).unwrap().public_key(), key.public_key());
            ssl.ok("pkcs12 -in all.p12 -passin file:pass -nokeys -clcerts -out own.pem");
            assert_eq!(certificate(&ssl, "own.pem"), leaf);
            ssl.ok("pkcs12 -in all.p12 -passin file:pass -nokeys -cacerts -out ca.pem");
            assert_eq!(&certificate(&ssl, "ca.pem"), ca.certificate());
            for line in ["pkcs8 -in key.pem", "pkcs12 -in all.p12 -nodes"] {
                assert!(!ssl.run(&format!("{line} -passin pass:other")).status.success(), "{line}");
            }
        }
    }
}

/// Raw signatures, without certificates around them.
#[test]
fn signatures_pass_to_and_fro() {
    for spec in KeySpec::USUAL {
        let ssl = OpenSsl::new();
        let key = generate(spec);
        let digest = raw(spec);
        ssl.write("key.pem", &*key.to_pkcs8_pem().unwrap());
        ssl.write("key.pub", key.public_key().to_pem());
        for message in [&b""[..], b"message digest", &[0xa5; 1000]] {
            ssl.write("message", message);
            ssl.write("ours", key.sign(message).unwrap());
            ssl.ok(&format!("pkeyutl -verify -pubin -inkey key.pub -in message -sigfile ours {digest}"));
            ssl.ok(&format!("pkeyutl -sign -inkey key.pem -in message -out theirs {digest}"));
            key.public_key().verify(message, &ssl.bytes("theirs")).unwrap();
            assert_eq!(key.public_key().verify(b"other", &ssl.bytes("theirs")), Err(PkiError::BadSignature));
        }
    }
}

/// The same message is not signed twice alike: a fault in the second signature would tell the key.
#[test]
fn signatures_are_hedged() {
    for spec in [KeySpec::EcSm2, KeySpec::EcP256] {
        let key = generate(spec);
        let signatures: Vec<_> = (0..4).map(|_| key.sign(b"message").unwrap()).collect();
        for (place, signature) in signatures.iter().enumerate() {
            key.public_key().verify(b"message", signature).unwrap();
            assert!(!signatures[..place].contains(signature), "{spec}");
        }
    }
}

#[test]
fn names_are_shown_as_openssl_shows_them() {
    let ca = Ca::new(KeySpec::EcSm2, &subject("root"), now() - DAY, now() + DAY).unwrap();
    let key = generate(KeySpec::EcP256);
    for text in [
        "CN=userName,OU=kms,O=aliyun,C=CN",
        r##"CN=a\,b\+c\;d\\e\<f\>\",OU=k=m,O=o#,C=CN"##,
        "CN=通关,OU=国密,O=一 二,ST=浙江,L=杭州,C=CN",
        r"CN=\#x,OU=\ y\ ,O=z  z,C=CN",
        "C=CN,O=aliyun,OU=a,OU=b,CN=reversed",
    ] {
        let ssl = OpenSsl::new();
        let subject = Subject::parse(text).unwrap();
        let csr = create_csr(&key, &subject, &[]).unwrap();
        let leaf = ca.issue(&csr, Usage::Both, now() - DAY, now() + DAY).unwrap();
        ssl.write("leaf.csr", csr);
        ssl.write("leaf.pem", leaf.to_pem());
        for line in ["req -in leaf.csr", "x509 -in leaf.pem"] {
            let shown = ssl.ok(&format!("{line} -noout -subject -nameopt RFC2253,-esc_msb"));
            assert_eq!(shown.trim_end_matches('\n'), format!("subject={}", leaf.subject()));
        }
        assert_eq!(leaf.subject(), subject.to_string());
        assert_eq!(Subject::parse(&leaf.subject()).unwrap(), subject);
    }
}

/// Names made by OpenSSL, multi-valued parts and unusual types among them.
#[test]
fn names_of_openssl_are_shown_as_openssl_shows_them() {
    let ssl = OpenSsl::new();
    ssl.key("x", KeySpec::EcP256);
    for name in [
        "/C=CN/O=阿里云/OU=k, m/CN=通关",
        "/DC=cn/DC=example/UID=u/CN=x/emailAddress=a@b.cn/serialNumber=42",
        "/C=CN/CN=#1 \\+ \\/ ;<>\"",
    ] {
        let args = ["req", "-x509", "-new", "-utf8", "-key", "x.key", "-subj", name, "-out", "x.pem"];
        accepted(name, &ssl.run_args(&args));
        let shown = ssl.ok("x509 -in x.pem -noout -subject -nameopt RFC2253,-esc_msb");
        let ours = certificate(&ssl, "x.pem").subject();
        assert_eq!(shown.trim_end_matches('\n'), format!("subject={ours}"));
    }
}

/// Serial, dates, fingerprint and key identifier, as OpenSSL computes them.
#[test]
fn metadata_agrees_with_openssl() {
    let ssl = OpenSsl::new();
    let (from, to) = (1_767_225_600, 2_713_996_799); // 2026-01-01, and 2056 for GeneralizedTime
    let ca = Ca::new(KeySpec::EcSm2, &subject("root"), from, to).unwrap();
    let root = ca.certificate();
    ssl.write("root.pem", root.to_pem());
    ssl.write("root.der", root.der());
    assert_eq!((root.not_before(), root.not_after()), (from, to));
    let shown = ssl.ok("x509 -in root.pem -noout -startdate -enddate");
    assert!(shown.contains("Jan  1 00:00:00 2026 GMT") && shown.contains("2056 GMT"), "{shown}");
    assert_eq!(root.fingerprint_sm3().len(), 2 * 32);
    let shown = ssl.ok("dgst -sm3 root.der");
    assert!(shown.trim_end().ends_with(&root.fingerprint_sm3()), "{shown}");
    assert_eq!(root.subject_key_identifier().len(), 3 * 20 - 1);
    let shown = ssl.ok("x509 -in root.pem -noout -ext subjectKeyIdentifier");
    assert!(shown.contains(&root.subject_key_identifier().replace(' ', ":")), "{shown}");
    let usage = root.key_usage().unwrap();
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());

    ssl.key("x", KeySpec::EcSm2);
    let options = "-set_serial 12345678 -days 3 -subj /CN=x -extensions none -config none.cnf";
    ssl.write(
        "none.cnf",
        "[req]\ndistinguished_name=dn\n[dn]\n[none]\nkeyUsage=digitalSignature\nsubjectKeyIdentifier=none\n",
    );
    ssl.ok(&format!("req -x509 -new -sm3 -sigopt {ID} -key x.key {options} -out x.pem"));
    let plain = certificate(&ssl, "x.pem");
    assert_eq!(plain.serial(), "12345678");
    assert!(plain.key_usage().unwrap().digital_signature());
    // Without the extension the identifier is SHA-1 of the key bits, the last 65 octets.
    ssl.ok("pkey -in x.key -pubout -outform DER -out x.spki");
    let spki = ssl.bytes("x.spki");
    ssl.write("bits", &spki[spki.len() - 65..]);
    let sha1 = ssl.ok("dgst -sha1 bits");
    let flat = plain.subject_key_identifier().replace(' ', "").to_lowercase();
    assert!(sha1.trim_end().ends_with(&flat), "{sha1} {flat}");
}
