//! PEM (RFC 7468), read leniently and written strictly.
//!
//! Certificates arrive as request parameters, pasted from consoles, mails and `openssl x509 -text`.
//! So text around blocks is ignored, and white space inside them (or its absence: the samples of the
//! API have blanks where lines should break) does not matter. Everything else does: Base64 must be
//! canonical, BEGIN must meet its END, and the DER must fill the block exactly, which the readers of
//! the content check.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::PkiError;

/// Longest PEM text accepted, in bytes.
pub const MAX_PEM_BYTES: usize = 256 * 1024;
const MAX_LABEL_BYTES: usize = 64;
const LINE: usize = 64;
const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
pub(crate) const REQUEST: &str = "CERTIFICATE REQUEST";
pub(crate) const OLD_REQUEST: &str = "NEW CERTIFICATE REQUEST";
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";
pub(crate) const RSA_PRIVATE_KEY: &str = "RSA PRIVATE KEY";
pub(crate) const EC_PRIVATE_KEY: &str = "EC PRIVATE KEY";
pub(crate) const SM2_PRIVATE_KEY: &str = "SM2 PRIVATE KEY";
pub(crate) const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";
pub(crate) const PUBLIC_KEY: &str = "PUBLIC KEY";
/// Blocks that say what curve the key after them is on, which the key says by itself.
const PARAMETERS: [&str; 2] = ["EC PARAMETERS", "SM2 PARAMETERS"];

/// One block. The content is wiped on drop because it may be a private key.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// The only block of `text`, which must carry one of `labels`.
pub(crate) fn one(text: &str, labels: &[&str]) -> Result<Zeroizing<Vec<u8>>, PkiError> {
    let mut blocks = all(text, labels, 1)?;
    blocks.pop().ok_or_else(|| missing(labels))
}

/// The only private key of `text`, in whatever form, with its label. Parameters of its curve may stand before it.
pub(crate) fn private_key(text: &str) -> Result<(String, Zeroizing<Vec<u8>>), PkiError> {
    const FORMS: [&str; 4] = [PRIVATE_KEY, RSA_PRIVATE_KEY, EC_PRIVATE_KEY, SM2_PRIVATE_KEY];
    let mut rest = limited(text)?;
    let mut found = None;
    while let Some((block, after)) = next(rest)? {
        rest = after;
        if PARAMETERS.contains(&block.label.as_str()) && found.is_none() {
            continue;
        }
        if !FORMS.contains(&block.label.as_str()) {
            let hint = hint(&block.label, PRIVATE_KEY);
            return Err(PkiError::Pem(format!("expected a private key, found {:?}{hint}", block.label)));
        }
        if found.replace((block.label, block.der)).is_some() {
            return Err(PkiError::Pem("more than 1 private key".into()));
        }
    }
    found.ok_or_else(|| missing(&FORMS))
}

/// All blocks of `text`, one to `limit`, each with one of `labels`.
pub(crate) fn all(text: &str, labels: &[&str], limit: usize) -> Result<Vec<Zeroizing<Vec<u8>>>, PkiError> {
    let mut found = Vec::new();
    let mut rest = limited(text)?;
    while let Some((block, after)) = next(rest)? {
        let wanted = labels.first().copied().unwrap_or_default();
        if !labels.contains(&block.label.as_str()) {
            return Err(PkiError::Pem(format!(
                "expected a {wanted:?} block, found {:?}{}",
                block.label,
                hint(&block.label, wanted)
            )));
        }
        if found.len() == limit {
            let more = format!("more than {limit} {:?} block(s)", block.label);
            let alone = limit == 1 && block.label == CERTIFICATE;
            let where_to =
                "; the first is the certificate itself, those of its CAs belong into CertificateChain";
            return Err(PkiError::Pem(more + if alone { where_to } else { "" }));
        }
        found.push(block.der);
        rest = after;
    }
    if found.is_empty() { Err(missing(labels)) } else { Ok(found) }
}

/// `der` as one block with lines of 64 and a final newline.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}{DASHES}\n"));
    text
}

fn limited(text: &str) -> Result<&str, PkiError> {
    if text.len() > MAX_PEM_BYTES {
        return Err(PkiError::Pem(format!("longer than {MAX_PEM_BYTES} bytes")));
    }
    Ok(text)
}

fn missing(labels: &[&str]) -> PkiError {
    PkiError::Pem(format!("no -----BEGIN {}----- block found", labels.first().copied().unwrap_or_default()))
}

/// What to do about a block that does not belong here.
fn hint(label: &str, wanted: &str) -> &'static str {
    match label {
        "EC PARAMETERS" | "SM2 PARAMETERS" if wanted == CERTIFICATE => "; leave that block out",
        _ if wanted == CERTIFICATE => "",
        EC_PRIVATE_KEY | RSA_PRIVATE_KEY | "EC PARAMETERS" => {
            "; convert with `openssl pkcs8 -topk8 -nocrypt`"
        }
        ENCRYPTED_PRIVATE_KEY => "; decrypt with `openssl pkcs8 -nocrypt`",
        _ => "",
    }
}

/// The first block of `text` and what follows it.
fn next(text: &str) -> Result<Option<(Block, &str)>, PkiError> {
    let Some(start) = text.find(BEGIN) else { return Ok(None) };
    let after_begin = text.get(start + BEGIN.len()..).unwrap_or_default();
    let (label, body) = after_begin
        .split_once(DASHES)
        .ok_or_else(|| PkiError::Pem("BEGIN line is not closed by five dashes".into()))?;
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ';
    if label.is_empty() || label.len() > MAX_LABEL_BYTES || !label.chars().all(plain) {
        return Err(PkiError::Pem("BEGIN line has no proper label".into()));
    }
    let (body, after) = body
        .split_once(&format!("-----END {label}{DASHES}"))
        .ok_or_else(|| PkiError::Pem(format!("-----END {label}----- is missing")))?;
    let compact: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let der = STANDARD
        .decode(compact.as_bytes())
        .map_err(|_| PkiError::Pem(format!("the {label:?} block is not valid Base64")))?;
    Ok(Some((Block { label: label.to_owned(), der: Zeroizing::new(der) }, after)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_paste() {
        let der = (0u8..=200).collect::<Vec<_>>();
        let pem = encode(CERTIFICATE, &der);
        assert!(pem.lines().all(|l| l.len() <= 64) && pem.ends_with("-----\n"));
        for text in [
            pem.clone(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', " "),
            pem.replace('\n', ""),
            format!("\u{feff}subject=CN = x\n{pem}trailing"),
            pem.trim_end().to_owned(),
        ] {
            assert_eq!(*one(&text, &[CERTIFICATE]).unwrap(), der, "{text}");
        }
    }

    #[test]
    fn refuses_damage() {
        let pem = encode(CERTIFICATE, &[1, 2, 3, 4]);
        for text in [
            String::new(),
            "nothing".to_owned(),
            format!("{pem}{pem}"),
            pem.replace("END", "FIN"),
            pem.replace("AQ", "!!"),
            pem.replace("==", "="),
            pem.replacen("-----\n", "\n", 1),
            encode(PRIVATE_KEY, &[1]),
            "x".repeat(MAX_PEM_BYTES + 1),
        ] {
            assert!(matches!(one(&text, &[CERTIFICATE]), Err(PkiError::Pem(_))));
        }
    }

    #[test]
    fn a_private_key_in_the_wrong_place_is_not_repeated() {
        let error = one(&encode(PRIVATE_KEY, b"secret-secret"), &[CERTIFICATE]).err().unwrap();
        let body = STANDARD.encode(b"secret-secret");
        assert!(error.to_string().contains("PRIVATE KEY") && !error.to_string().contains(&body));
    }

    #[test]
    fn one_certificate_too_many_is_told_where_it_belongs() {
        let hint = "those of its CAs belong into CertificateChain";
        for (label, count, hinted) in [(CERTIFICATE, 1, true), (CERTIFICATE, 2, false), (REQUEST, 1, false)] {
            let text = encode(label, &[1, 2, 3, 4]).repeat(count + 1);
            assert_eq!(all(&text, &[label], count + 1).unwrap().len(), count + 1);
            let refused = all(&text, &[label], count).unwrap_err().to_string();
            assert!(refused.contains(&format!("more than {count} ")), "{refused}");
            assert_eq!(refused.contains(hint), hinted, "{refused}");
        }
    }

    #[test]
    fn a_block_of_another_kind_is_named_with_what_to_do() {
        const KEY: &str = "PRIVATE KEY";
        let leave_out = "leave that block out";
        for (found, wanted, hint) in [
            ("EC PARAMETERS", CERTIFICATE, leave_out),
            ("SM2 PARAMETERS", CERTIFICATE, leave_out),
            ("EC PARAMETERS", KEY, "openssl pkcs8 -topk8 -nocrypt"),
            ("RSA PRIVATE KEY", KEY, "openssl pkcs8 -topk8 -nocrypt"),
            ("ENCRYPTED PRIVATE KEY", KEY, "openssl pkcs8 -nocrypt"),
            ("ENCRYPTED PRIVATE KEY", CERTIFICATE, "found \"ENCRYPTED PRIVATE KEY\""),
        ] {
            let refused = one(&encode(found, &[1]), &[wanted]).unwrap_err().to_string();
            assert!(refused.contains(found) && refused.contains(hint), "{refused}");
            assert_eq!(refused.contains("pkcs8"), hint.contains("pkcs8"), "{refused}");
        }
    }

    #[test]
    fn texts_and_labels_have_a_greatest_length() {
        let refused = |text: &str| one(text, &[CERTIFICATE]).unwrap_err().to_string();
        let blank = " ".repeat(MAX_PEM_BYTES - 1);
        assert!(refused(&format!("{blank}  ")).contains("longer than 262144 bytes"));
        assert!(!refused(&format!("{blank} ")).contains("longer"));
        let label = "A".repeat(MAX_LABEL_BYTES);
        assert!(refused(&encode(&label, &[1])).contains("found \"AAA"));
        for bad in [format!("{label}A"), String::new(), "certificate".to_owned(), "X_Y".to_owned()] {
            assert!(refused(&encode(&bad, &[1])).contains("no proper label"), "{bad}");
        }
    }
}
