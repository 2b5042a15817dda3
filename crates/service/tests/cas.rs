//! Product Cas: what is uploaded is shown as it was sent, bound by its id, and deleted when nothing needs it.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::process::Command;

use common::{Caller, Reply, Rig, archive, fixtures, is_shared, issue_for, refused, triple};
use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_pki::{KeySpec, PrivateKey, Subject, Usage, create_csr, parse_csr};
use tongguan_service::check;
use tongguan_service::vault::Vault;
use tongguan_store::{AUDIT_RULE, DATABASE_FILE, RIGHTS_RULE};

const DAY_MS: i64 = 86_400_000;

async fn upload(rig: &Rig, parameters: &[(&str, &str)]) -> String {
    rig.cas("UploadUserCertificate", parameters).await.ok()["CertId"].to_string()
}

async fn detail(rig: &Rig, id: &str) -> Value {
    rig.cas("GetUserCertificateDetail", &[("CertId", id)]).await.ok()
}

fn rsa(name: &str) -> [(&str, &str); 3] {
    [("Name", name), ("Cert", fixtures::RSA), ("Key", fixtures::RSA_KEY)]
}

/// A key with a certificate for it, both in PEM, and the certificate's issuer after it.
fn material(spec: KeySpec, usage: Usage) -> (String, String) {
    let key = PrivateKey::generate(spec).unwrap();
    let csr = create_csr(&key, &Subject::of(&[("CN", "a.cn"), ("C", "CN")]).unwrap(), &[]).unwrap();
    let (leaf, chain) = issue_for(spec, &csr, usage);
    (leaf + &chain, key.to_pkcs8_pem().unwrap().to_string())
}

/// With other values for some parameters; empty: without it.
fn with<'a>(parameters: &[(&'a str, &'a str)], other: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let value = |(name, value): &(&'a str, &'a str)| {
        let other = other.iter().find(|(known, _)| known == name);
        (*name, other.map_or(*value, |(_, value)| value))
    };
    parameters.iter().map(value).filter(|(_, value)| !value.is_empty()).collect()
}

/// Terraform compares texts letter by letter, and makes the resource anew for any difference.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_shown_as_it_was_sent() {
    let rig = Rig::new("0");
    let group = rig.resource_group("elsewhere").await;
    let untidy = format!("# mine\r\n{}\n\n", fixtures::RSA.replace('\n', "\r\n"));
    for (name, certificate, key) in [
        ("tidy", fixtures::RSA, fixtures::RSA_KEY),
        ("untidy", untidy.as_str(), fixtures::RSA_KEY.trim_end()),
    ] {
        let tags = [("Tag.1.Key", "team"), ("Tag.1.Value", "a"), ("ResourceGroupId", &*group)];
        let parameters = with(&rsa(name), &[("Cert", certificate), ("Key", key)]);
        let id = upload(&rig, &[&parameters[..], &tags].concat()).await;
        let shown = detail(&rig, &id).await;
        assert_eq!((&shown["Cert"], &shown["Key"]), (&json!(certificate), &json!(key)));
        assert_eq!((&shown["Name"], &shown["Id"].to_string()), (&json!(name), &id));
        assert_eq!(shown["Tags"], json!([{"TagKey": "team", "TagValue": "a"}]));
        assert_eq!(shown["ResourceGroupId"], *group);
        assert_eq!(shown["CertIdentifier"], format!("{id}-cn-hangzhou"));
        assert_eq!(shown["CertChain"].as_array().unwrap().len(), 2);
        assert!(shown.get("SignCert").is_none() && shown.get("EncryptPrivateKey").is_none());
        let filtered = [("CertId", id.as_str()), ("CertFilter", "true")];
        let filtered = rig.cas("GetUserCertificateDetail", &filtered).await.ok();
        assert!(filtered.get("Cert").is_none() && filtered.get("Key").is_none());
        assert_eq!(filtered["Fingerprint"], shown["Fingerprint"]);
    }
    let id = upload(&rig, &fixtures::pair("pair")).await;
    let shown = detail(&rig, &id).await;
    for (name, value) in &fixtures::pair("pair")[1..] {
        assert_eq!(shown[name], *value);
    }
    assert!(shown.get("Cert").is_none() && shown.get("Key").is_none());
    assert_eq!((&shown["Algorithm"], &shown["Common"]), (&json!("SM2"), &json!("vpn.example.com")));
    let rig = rig.restart("0");
    assert_eq!(detail(&rig, &id).await["SignPrivateKey"], fixtures::SM_SIGNATURE_KEY);
    rig.cas("DeleteUserCertificate", &[("CertId", &id)]).await.ok();
    for action in ["GetUserCertificateDetail", "DeleteUserCertificate"] {
        refused(&rig.cas(action, &[("CertId", &id)]).await, 404, "NotFound");
    }
    // The name is free again.
    upload(&rig, &fixtures::pair("pair")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_nothing_is_kept() {
    let rig = Rig::new("0");
    let (sm, sm_key) = material(KeySpec::EcSm2, Usage::Both);
    let (p256, p256_key) = material(KeySpec::EcP256, Usage::Both);
    let backwards: String = {
        let mut blocks: Vec<&str> = fixtures::RSA.split_inclusive("-----END CERTIFICATE-----\n").collect();
        blocks.reverse();
        blocks.concat()
    };
    let control = format!("{}\u{1}", fixtures::RSA_KEY);
    let ordinary = rsa("rsa");
    let pair = fixtures::pair("pair");
    let invalid = |name: &str| format!("InvalidParameter.{name}");
    for (parameters, code) in [
        (with(&ordinary, &[("Name", "")]), "MissingName".to_owned()),
        (with(&ordinary, &[("Key", "")]), "MissingKey".into()),
        (with(&ordinary, &[("Cert", "")]), "MissingCert".into()),
        (vec![("Name", "none")], "MissingCert".into()),
        (with(&ordinary, &[("Cert", "nonsense")]), invalid("Cert")),
        (with(&ordinary, &[("Cert", &backwards)]), invalid("Key")),
        (with(&ordinary, &[("Key", "nonsense")]), invalid("Key")),
        (with(&ordinary, &[("Key", fixtures::RSA)]), invalid("Key")),
        (with(&ordinary, &[("Key", &control)]), invalid("Key")),
        (with(&ordinary, &[("Key", fixtures::REQUEST_KEY)]), invalid("Key")),
        (with(&ordinary, &[("Cert", &sm), ("Key", &sm_key)]), invalid("Cert")),
        (with(&pair, &[("EncryptCert", "")]), "MissingEncryptCert".into()),
        (with(&pair, &[("EncryptPrivateKey", "")]), "MissingEncryptPrivateKey".into()),
        (with(&pair, &[("SignCert", "")]), "MissingSignCert".into()),
        (with(&pair, &[("SignPrivateKey", "")]), "MissingSignPrivateKey".into()),
        (with(&pair, &[("SignCert", &p256), ("SignPrivateKey", &p256_key)]), invalid("SignCert")),
        (with(&pair, &[("SignPrivateKey", fixtures::SM_ENCRYPTION_KEY)]), invalid("SignPrivateKey")),
        // The wrong way round: neither may do what it would be for.
        (
            with(
                &pair,
                &[
                    ("EncryptCert", fixtures::SM_SIGNATURE),
                    ("EncryptPrivateKey", fixtures::SM_SIGNATURE_KEY),
                    ("SignCert", fixtures::SM_ENCRYPTION),
                    ("SignPrivateKey", fixtures::SM_ENCRYPTION_KEY),
                ],
            ),
            invalid("EncryptCert"),
        ),
        // One key for both.
        (
            with(
                &pair,
                &[
                    ("EncryptCert", &sm),
                    ("EncryptPrivateKey", &sm_key),
                    ("SignCert", &sm),
                    ("SignPrivateKey", &sm_key),
                ],
            ),
            invalid("SignCert"),
        ),
    ] {
        let answer = rig.cas("UploadUserCertificate", &parameters).await;
        assert_eq!((answer.status, answer.code()), (400, code.as_str()), "{}", answer.body);
        let message = answer.body.to_string();
        assert!(!message.contains("MII"), "{message}");
    }
    let list = rig.cas("ListCertificates", &[]).await.ok();
    assert_eq!((&list["TotalCount"], &list["CertificateList"]), (&json!(0), &json!([])));
    // Valid until then.
    let (short, key) = material(KeySpec::EcP256, Usage::Both);
    rig.advance(366 * DAY_MS);
    let parameters = with(&ordinary, &[("Cert", &short), ("Key", &key)]);
    let answer = rig.cas("UploadUserCertificate", &parameters).await;
    refused(&answer, 400, "InvalidParameter.Cert");
    assert!(answer.body["Message"].as_str().unwrap().contains("expired"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_of_one_and_quotas_hold() {
    let rig = Rig::with_quotas(
        "0",
        Quotas { certificates_per_account: 2, csrs_per_account: 1, ..Quotas::default() },
    );
    let once = [&rsa("same")[..], &[("ClientToken", "once")]].concat();
    let first = upload(&rig, &once).await;
    assert_eq!(upload(&rig, &once).await, first, "a repeat");
    refused(&rig.cas("UploadUserCertificate", &rsa("same")).await, 400, "Duplicated.Name");
    let stranger = Caller::stranger();
    let theirs = rig.by(&stranger, common::CAS, "UploadUserCertificate", &rsa("same")).await.ok();
    let own = rig.by(&stranger, common::CAS, "GetUserCertificateDetail", &[("CertId", &first)]).await;
    refused(&own, 404, "NotFound");
    let theirs = theirs["CertId"].to_string();
    refused(&rig.cas("DeleteUserCertificate", &[("CertId", &theirs)]).await, 404, "NotFound");
    // Kms and Cas share the quota.
    rig.pending_certificate("EC_P256").await;
    refused(&rig.cas("UploadUserCertificate", &rsa("third")).await, 400, "QuotaExceeded.Certificate");
    let create = [("KeySpec", "EC_P256"), ("Subject", "CN=a,OU=b,O=c,C=CN")];
    refused(&rig.kms("CreateCertificate", &create).await, 400, "Rejected.LimitExceeded");
    rig.cas("UploadCsr", &[("Csr", fixtures::REQUEST)]).await.ok();
    refused(&rig.cas("UploadCsr", &[("Csr", fixtures::REQUEST)]).await, 400, "QuotaExceeded.Csr");
}

/// `states.md`, "Which id is CertificateId?": what Associate was given is listed, and undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_bound_by_its_one_id_and_the_role_chooses_the_half() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let pair = upload(&rig, &fixtures::pair("pair")).await;
    let ordinary = upload(&rig, &rsa("rsa")).await;
    for (id, status, code) in [
        (ordinary.as_str(), 400, "IllegalParam.CertificateId"),
        ("1", 404, "Certificate.NotFound"),
        (&format!("0{pair}"), 404, "Certificate.NotFound"),
        (&format!("{pair}-cn-hangzhou"), 404, "Certificate.NotFound"),
        (&format!("{pair}/Encryption"), 404, "Certificate.NotFound"),
    ] {
        refused(&rig.bind(&gateway, id, "Encryption").await, status, code);
    }
    for role in ["Encryption", "Signature"] {
        rig.bind(&gateway, &pair, role).await.ok();
        rig.settle().await;
        // Again: nothing to do.
        rig.bind(&gateway, &pair, role).await.ok();
        assert_eq!(rig.status(&gateway).await, "active");
    }
    let of = |role: &str| (pair.clone(), role.to_owned());
    assert_eq!(rig.listed(&gateway).await, [of("Encryption"), of("Signature")]);
    let filtered = [("RegionId", "cn-hangzhou"), ("CertificateId.1", pair.as_str())];
    assert_eq!(rig.call("ListVpnCertificateAssociations", &filtered).await.ok()["TotalCount"], 2);
    let (_, applied) = rig.store().read(|snapshot| snapshot.applied(&gateway)).unwrap().unwrap();
    let applied: Value = serde_json::from_str(&applied).unwrap();
    let used = applied["certificates"].as_object().unwrap();
    assert_ne!(used["Encryption"], used["Signature"], "each role has a certificate of its own");
    // Whatever names a half otherwise names nothing.
    let half = used["Encryption"].as_str().unwrap();
    refused(&rig.kms("DescribeCertificate", &[("CertificateId", half)]).await, 404, "Certificate.NotFound");
    refused(&rig.unbind(&gateway, half, "Encryption").await, 404, "InvalidCertificateAssociation.NotFound");
    refused(&rig.cas("DeleteUserCertificate", &[("CertId", &pair)]).await, 409, "Rejected.CertificateInUse");
    assert!(sound(rig.directory()), "bound");
    // One of Kms takes a role that one of Cas has left.
    rig.unbind(&gateway, &pair, "Encryption").await.ok();
    rig.settle().await;
    assert_eq!(rig.listed(&gateway).await, [of("Signature")]);
    refused(&rig.cas("DeleteUserCertificate", &[("CertId", &pair)]).await, 409, "Rejected.CertificateInUse");
    let kms = rig.certificate("EC_SM2").await;
    refused(&rig.bind(&gateway, &kms, "Signature").await, 400, "OperationDenied.CertificateTypeOccupied");
    rig.bind(&gateway, &kms, "Encryption").await.ok();
    rig.settle().await;
    // They come sorted by their ids.
    let mut both = [of("Signature"), (kms.clone(), "Encryption".to_owned())];
    both.sort();
    assert_eq!(rig.listed(&gateway).await, both);
    let rig = rig.restart("0");
    rig.unbind(&gateway, &pair, "Signature").await.ok();
    rig.settle().await;
    rig.cas("DeleteUserCertificate", &[("CertId", &pair)]).await.ok();
    refused(&rig.bind(&gateway, &pair, "Signature").await, 404, "Certificate.NotFound");
    assert_eq!(rig.listed(&gateway).await, [(kms, "Encryption".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expired_or_anothers_is_not_bound() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let (encrypt, encrypt_key) = material(KeySpec::EcSm2, Usage::Encryption);
    let (sign, sign_key) = material(KeySpec::EcSm2, Usage::Signature);
    let parameters = [
        ("Name", "short"),
        ("EncryptCert", encrypt.as_str()),
        ("EncryptPrivateKey", &encrypt_key),
        ("SignCert", &sign),
        ("SignPrivateKey", &sign_key),
    ];
    let id = upload(&rig, &parameters).await;
    let theirs = rig.by(&Caller::stranger(), common::CAS, "UploadUserCertificate", &parameters).await.ok();
    let theirs = theirs["CertId"].to_string();
    refused(&rig.bind(&gateway, &theirs, "Signature").await, 404, "Certificate.NotFound");
    let dry = [&triple(&gateway, &id, "Signature")[..], &[("DryRun", "true")]].concat();
    rig.call("AssociateVpnGatewayWithCertificate", &dry).await.ok();
    assert!(rig.listed(&gateway).await.is_empty());
    let states = async |wanted: &str| {
        let list = rig.cas("ListCertificates", &[("CertificateStatus", wanted)]).await.ok();
        list["TotalCount"].as_i64().unwrap()
    };
    for (days, issued, soon, expired) in [(0, 1, 0, 0), (340, 0, 1, 0), (26, 0, 0, 1)] {
        rig.advance(days * DAY_MS);
        let now = (states("issued").await, states("willExpire").await, states("expired").await);
        assert_eq!(now, (issued, soon, expired), "{days} days later");
        assert_eq!(states("revoked").await, 0);
    }
    refused(&rig.bind(&gateway, &id, "Signature").await, 400, "IllegalParam.CertificateId");
    let list = |kind| rig.cas("ListUserCertificateOrder", kind);
    assert_eq!(list(&[("OrderType", "CERT")]).await.ok()["TotalCount"], 0);
    assert_eq!(list(&[("OrderType", "CERT"), ("Status", "EXPIRED")]).await.ok()["TotalCount"], 1);
    assert_eq!(detail(&rig, &id).await["Expired"], true);
    rig.cas("DeleteUserCertificate", &[("CertId", &id)]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_and_searched() {
    let rig = Rig::new("0");
    let names = ["a_1", "aX1", "b%", "Wide"];
    for name in names {
        rig.advance(1_000);
        upload(&rig, &rsa(name)).await;
    }
    rig.advance(1_000);
    upload(&rig, &fixtures::pair("pair")).await;
    let named = |list: &Value, member: &str, name: &str| -> Vec<String> {
        list[member].as_array().unwrap().iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
    };
    let certificates = async |parameters: &[(&str, &str)]| {
        let list = rig.cas("ListCertificates", parameters).await.ok();
        (named(&list, "CertificateList", "CertificateName"), list["TotalCount"].as_u64().unwrap())
    };
    assert_eq!(certificates(&[]).await.0, ["pair", "Wide", "b%", "aX1", "a_1"]);
    assert_eq!(
        certificates(&[("ShowSize", "2"), ("CurrentPage", "2")]).await,
        (vec!["b%".into(), "aX1".into()], 5)
    );
    for (keyword, found) in [
        ("a_1", vec!["a_1"]),
        ("%", vec!["b%"]),
        ("wide", vec!["Wide"]),
        ("VPN.example", vec!["pair"]),
        ("!", vec![]),
        ("example.com", vec!["pair", "Wide", "b%", "aX1", "a_1"]),
    ] {
        assert_eq!(
            certificates(&[("Keyword", keyword)]).await,
            (found.iter().map(ToString::to_string).collect(), found.len() as u64)
        );
    }
    let orders =
        rig.cas("ListUserCertificateOrder", &[("OrderType", "UPLOAD"), ("Keyword", "pair")]).await.ok();
    assert_eq!(named(&orders, "CertificateOrderList", "Name"), ["pair"]);
    let instance = orders["CertificateOrderList"][0]["InstanceId"].as_str().unwrap();
    assert_eq!(certificates(&[("InstanceId", instance)]).await.0, ["pair"]);
    assert_eq!(rig.cas("ListUserCertificateOrder", &[]).await.ok()["TotalCount"], 0, "there are no orders");
    // Each of a pair by itself.
    let single = rig.cas("ListCert", &[("KeyWord", "pair")]).await.ok();
    assert_eq!(single["TotalCount"], 2);
    let identifiers = named(&single, "CertList", "Identifier").join(",");
    let again = rig.cas("ListCert", &[("Identifiers", &format!("{identifiers},nonsense"))]).await.ok();
    assert_eq!(again["CertList"], single["CertList"]);
    for nothing in [("CertType", "CA"), ("Status", "REVOKE"), ("SourceType", "aliyun"), ("WarehouseId", "2")]
    {
        assert_eq!(rig.cas("ListCert", &[nothing]).await.ok()["TotalCount"], 0);
    }
}

/// OpenSSL judges what is made here.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_such_as_openssl_verifies_and_come_with_their_keys() {
    let rig = Rig::new("0");
    let directory = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(directory.path()).output().unwrap();
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert!(output.status.success(), "openssl {arguments:?}: {text}");
        text
    };
    for (algorithm, size) in [("RSA", "2048"), ("RSA", "3072"), ("ECC", "256"), ("SM2", "256")] {
        let parameters = [
            ("Algorithm", algorithm),
            ("KeySize", size),
            ("CommonName", "www.example.com"),
            ("CountryCode", "CN"),
            ("Province", "浙江"),
            ("Locality", "Hangzhou"),
            ("CorpName", "a, b"),
            ("Sans", "a.example.com, *.b.example.com"),
            ("Name", "csr-1"),
        ];
        let made = rig.cas("CreateCsr", &parameters).await.ok();
        let id = made["CsrId"].to_string();
        let shown = rig.cas("GetCsrDetail", &[("CsrId", &id)]).await.ok();
        assert_eq!(shown["Csr"], made["Csr"]);
        std::fs::write(directory.path().join("a.csr"), shown["Csr"].as_str().unwrap()).unwrap();
        std::fs::write(directory.path().join("a.key"), shown["PrivateKey"].as_str().unwrap()).unwrap();
        let verified = openssl(
            &["req", "-verify", "-noout", "-in", "a.csr", "-vfyopt", "distid:1234567812345678"]
                [..if algorithm == "SM2" { 7 } else { 5 }],
        );
        assert!(verified.contains("verify OK"), "{verified}");
        let text = openssl(&["req", "-noout", "-text", "-in", "a.csr"]);
        assert!(text.contains("DNS:a.example.com, DNS:*.b.example.com"), "{text}");
        let subject =
            openssl(&["req", "-noout", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb", "-in", "a.csr"]);
        assert_eq!(subject.trim_end(), r"subject=CN=www.example.com,O=a\, b,L=Hangzhou,ST=浙江,C=CN");
        openssl(&["pkey", "-in", "a.key", "-check", "-noout"]);
        let keys = [
            openssl(&["req", "-noout", "-pubkey", "-in", "a.csr"]),
            openssl(&["pkey", "-pubout", "-in", "a.key"]),
        ];
        assert_eq!(keys[0], keys[1]);
        let listed = rig.cas("ListCsr", &[("Algorithm", algorithm)]).await.ok();
        let first = &listed["CsrList"][0];
        assert_eq!(
            (&first["KeySize"].to_string(), &first["HasPrivateKey"]),
            (&size.to_owned(), &json!(true))
        );
        assert_eq!(first["Province"], "浙江");
    }
    assert!(sound(rig.directory()));
}

/// The way to an SM gateway without Kms: two requests, two certificates, one upload, two bindings.
#[tokio::test(flavor = "multi_thread")]
async fn requests_lead_to_a_pair_on_a_gateway() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let mut parts = Vec::new();
    for usage in [Usage::Encryption, Usage::Signature] {
        let parameters = [
            ("Algorithm", "SM2"),
            ("KeySize", "256"),
            ("CommonName", "vpn"),
            ("CountryCode", "CN"),
            ("Province", "a"),
            ("Locality", "b"),
        ];
        let made = rig.cas("CreateCsr", &parameters).await.ok();
        let shown = rig.cas("GetCsrDetail", &[("CsrId", &made["CsrId"].to_string())]).await.ok();
        let (leaf, chain) = issue_for(KeySpec::EcSm2, made["Csr"].as_str().unwrap(), usage);
        parts.push((leaf + &chain, shown["PrivateKey"].as_str().unwrap().to_owned()));
    }
    let parameters = [
        ("Name", "mine"),
        ("EncryptCert", parts[0].0.as_str()),
        ("EncryptPrivateKey", &parts[0].1),
        ("SignCert", &parts[1].0),
        ("SignPrivateKey", &parts[1].1),
    ];
    let id = upload(&rig, &parameters).await;
    for role in ["Encryption", "Signature"] {
        rig.bind(&gateway, &id, role).await.ok();
        rig.settle().await;
    }
    assert_eq!(rig.listed(&gateway).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_gets_its_own_key_and_no_other() {
    let rig = Rig::new("0");
    let made = rig.cas("UploadCsr", &[("Csr", fixtures::REQUEST), ("Name", "theirs")]).await.ok();
    let id = made["CsrId"].to_string();
    let shown = async || rig.cas("GetCsrDetail", &[("CsrId", &id)]).await.ok();
    let first = shown().await;
    assert_eq!(first["Csr"], fixtures::REQUEST);
    assert!(first.get("PrivateKey").is_none());
    let update = async |key: &str| -> Reply { rig.cas("UpdateCsr", &[("CsrId", &id), ("Key", key)]).await };
    refused(&update(fixtures::RSA_KEY).await, 400, "InvalidParameter.Key");
    refused(&update("nonsense").await, 400, "InvalidParameter.Key");
    assert!(shown().await.get("PrivateKey").is_none());
    for _ in 0..2 {
        update(fixtures::REQUEST_KEY).await.ok();
        assert_eq!(shown().await["PrivateKey"], fixtures::REQUEST_KEY);
    }
    let wrong = [("Csr", fixtures::REQUEST), ("Key", fixtures::RSA_KEY)];
    refused(&rig.cas("UploadCsr", &wrong).await, 400, "InvalidParameter.Key");
    let parsed = parse_csr(fixtures::REQUEST).unwrap();
    let listed = rig.cas("ListCsr", &[("KeyWord", "THEIR")]).await.ok();
    assert_eq!(listed["CsrList"][0]["KeySha2"], parsed.public_key().fingerprint_sha256());
    assert_eq!(listed["CsrList"][0]["Sans"], "www.example.org,example.org");
    rig.cas("DeleteCsr", &[("CsrId", &id)]).await.ok();
    for action in ["DeleteCsr", "GetCsrDetail"] {
        refused(&rig.cas(action, &[("CsrId", &id)]).await, 404, "NotFound");
    }
    refused(&update(fixtures::REQUEST_KEY).await, 404, "NotFound");
}

/// `tongguan check` finds whatever was changed, and the service uses none of it.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found() {
    if is_shared() {
        // It writes to the file of the embedded store.
        return;
    }
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let pair = upload(&rig, &fixtures::pair("pair")).await;
    upload(&rig, &rsa("rsa")).await;
    rig.cas("UploadCsr", &[("Csr", fixtures::REQUEST), ("Key", fixtures::REQUEST_KEY)]).await.ok();
    rig.bind(&gateway, &pair, "Signature").await.ok();
    rig.settle().await;
    let closed = rig.closed();
    for damage in [
        "UPDATE certificate SET half = 'Encryption' WHERE upload IS NOT NULL AND half IS NULL",
        "UPDATE certificate SET domain = 'other' WHERE upload IS NOT NULL",
        "UPDATE certificate SET uploaded_text = (SELECT uploaded_text FROM certificate WHERE half = 'Encryption') \
         WHERE half = 'Signature'",
        "UPDATE certificate SET sealed_private_key = (SELECT sealed_private_key FROM certificate WHERE half IS NULL \
         AND upload IS NOT NULL) WHERE half = 'Signature'",
        "UPDATE certificate SET account = '9999567890123456' WHERE half = 'Encryption'",
        "UPDATE binding SET named = '1'",
        "UPDATE binding SET role = 'Encryption'",
        "UPDATE cas_csr SET common_name = 'other'",
        "UPDATE cas_csr SET sealed_private_key = x'00'",
        "UPDATE cas_csr SET csr = public_key",
        "DELETE FROM certificate WHERE half = 'Encryption'",
        "DELETE FROM cas_csr",
        "UPDATE tally SET value = value + 1 WHERE kind = 'cas_certificate'",
    ] {
        let rig = Rig::on_copy(&closed);
        let copy = rig.closed();
        let path = copy.directory().join(DATABASE_FILE);
        let connection = rusqlite::Connection::open(&path).unwrap();
        assert!(connection.execute(damage, []).unwrap() > 0, "{damage}");
        drop(connection);
        assert!(!sound(copy.directory()), "{damage}");
    }
    let rig = Rig::on_copy(&closed).closed();
    assert!(sound(rig.directory()));
}

/// Whether `tongguan check` finds nothing.
fn sound(directory: &std::path::Path) -> bool {
    let vault = Vault::new(&[9; 32]).unwrap();
    let verdicts = check::everything(&archive(directory), Some(&vault)).unwrap();
    // No audit record of this service is sealed; and every damage is to be found by a rule of its own, though a seal
    // tells of most.
    let elsewhere = [AUDIT_RULE, RIGHTS_RULE];
    let mut verdicts = verdicts.iter().filter(|verdict| !elsewhere.contains(&verdict.rule));
    verdicts.all(|verdict| verdict.findings.is_empty())
}
