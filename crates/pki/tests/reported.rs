//! Certificates with which users of other programs had trouble (`tests/reported/`): what is read, and what is said of
//! what is not.
#![allow(clippy::unwrap_used)]

use tongguan_pki::{Certificate, PrivateKey, matches, parse_csr, verify_chain};

/// 2028-01-01: inside the validity of all but those that say otherwise.
const NOW: i64 = 1_830_297_600;

fn file(name: &str) -> String {
    let path = format!("{}/tests/reported/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads a certificate and checks it as an upload would: key, then chain.
fn upload(name: &str) -> Result<Certificate, String> {
    let root = if name == "issuer-empty-rdn" { "root-empty-rdn" } else { "root" };
    let leaf = Certificate::from_pem(&file(name)).map_err(|error| error.to_string())?;
    let key = PrivateKey::from_pkcs8_pem(&file("leaf.key")).unwrap();
    leaf.public_key().map_err(|error| error.to_string())?;
    assert!(matches(&leaf, &key.public_key()), "{name}: another key");
    let chain = Certificate::chain_from_pem(&file(root)).unwrap();
    verify_chain(&leaf, &chain, NOW).map_err(|error| error.to_string())?;
    Ok(leaf)
}

#[test]
fn what_cas_in_use_write_is_accepted() {
    for name in [
        "plain",
        "spki-sm2-oid",
        "compressed-point",
        "sigalg-null",
        "printable-odd",
        "t61",
        "bmp",
        "issuer-empty-rdn",
        "serial-zero",
        "serial-21-octets",
        "notafter-9999",
        "notafter-2055",
        "notafter-utc49",
        "notafter-gt-2030",
    ] {
        let leaf = upload(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(leaf.is_sm(), "{name}");
    }
    assert_eq!(
        parse_csr(&file("leaf.csr")).unwrap().public_key(),
        &upload("plain").unwrap().public_key().unwrap()
    );
}

#[test]
fn what_is_shown_of_them() {
    let shown = |name: &str| upload(name).unwrap();
    assert_eq!(shown("serial-zero").serial(), "0");
    assert_eq!(shown("serial-21-octets").serial(), "2923003274661805836407369665432566039311865085952");
    assert_eq!(shown("issuer-empty-rdn").issuer(), "CN=62010000,O=,L=,ST=,C=CN");
    assert_eq!(shown("printable-odd").subject(), "CN=*.x_y.cn,O=a_b@c*,C=CN");
    assert_eq!(shown("t61").subject(), "CN=café,C=CN");
    assert_eq!(shown("bmp").subject(), "CN=网关,C=CN");
    assert_eq!(shown("notafter-9999").not_after(), 253_402_300_799);
    assert_eq!(shown("notafter-2055").not_after(), 2_682_374_400);
    assert_eq!(shown("notafter-utc49").not_after(), 2_524_607_999);
    assert_eq!(shown("notafter-gt-2030").not_after(), 1_893_456_000);
}

#[test]
fn what_is_refused_says_why() {
    for (name, why) in [
        ("expired", "expired"),
        ("utctime-no-seconds", ""),
        ("gentime-fraction", ""),
        ("serial-padded", ""),
        ("trailing-der", ""),
        ("sigalg-null-inside-only", "the signature algorithms inside and outside differ"),
        ("sigalg-ecdsa", "signature algorithm ECDSA-SHA256 does not fit the issuer's key (SM2)"),
        ("distid-empty", "empty user id"),
        ("distid-123456", "other than 1234567812345678"),
        ("explicit-params", "its curve is written out instead of named"),
        ("duplicate-extension", "the extension keyUsage stands there twice"),
        ("critical-unknown", "critical extension"),
    ] {
        let error = upload(name).expect_err(name);
        assert!(error.contains(why), "{name}: {error}");
    }
}

/// Blocks that people paste beside the certificate.
#[test]
fn a_block_that_does_not_belong_there_is_named() {
    let certificate = file("plain");
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqgRzPVQGCLQ==\n-----END EC PARAMETERS-----\n";
    let error = Certificate::from_pem(&format!("{parameters}{certificate}")).unwrap_err().to_string();
    assert!(error.contains("\"EC PARAMETERS\"") && error.contains("leave that block out"), "{error}");
    assert!(!error.contains("pkcs8"), "{error}");
    let error = PrivateKey::from_pkcs8_pem(parameters).unwrap_err().to_string();
    assert!(error.contains("pkcs8"), "{error}");
    let both = format!("{certificate}{}", file("root"));
    let error = Certificate::from_pem(&both).unwrap_err().to_string();
    assert!(error.contains("CertificateChain"), "{error}");
    for label in ["X509 CERTIFICATE", "TRUSTED CERTIFICATE"] {
        let error =
            Certificate::from_pem(&certificate.replace("CERTIFICATE", label)).unwrap_err().to_string();
        assert!(error.contains(label), "{error}");
    }
}
