//! Negotiations of other programs, recomputed: every derived value, digest, vector and ciphertext.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use tongguan_ike::envelope::EnvelopeKey;
use tongguan_ike::keys::{Basis, Cookies, HashOrder, KeymatSource, Phase1Keys, QuickParts};
use tongguan_ike::suite::{Cipher, Hash};
use tongguan_ike::wire::{
    self, After, Attribute, Header, Identity, Notify, Payload, Sa, kind, payloads, version,
};
use tongguan_pki::{Certificate, PrivateKey, PublicKey, Signed};
use zeroize::Zeroizing;

struct Trace(Value);

impl Trace {
    fn new(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap()
    }

    fn octets(&self, name: &str) -> Vec<u8> {
        hex::decode(self.text(name)).unwrap()
    }

    fn messages(&self) -> Vec<Vec<u8>> {
        let messages = self.0["messages"].as_array().unwrap();
        messages.iter().map(|message| hex::decode(message.as_str().unwrap()).unwrap()).collect()
    }
}

fn gm2014() -> Trace {
    Trace::new(include_str!("traces/gm2014.json"))
}

fn gm2010() -> Trace {
    Trace::new(include_str!("traces/gm2010.json"))
}

/// A side's part of an envelope exchange, opened.
struct Side {
    key: EnvelopeKey,
    nonce: Vec<u8>,
    identity: Vec<u8>,
}

/// Opens what one side sent, verifies its signature, and encrypts it again.
fn side(trace: &Trace, letter: char, decrypt: &str, verify: &str) -> Side {
    let private = PrivateKey::from_pkcs8_pem(trace.text(decrypt)).unwrap();
    let public = PublicKey::from_pem(trace.text(verify)).unwrap();
    let key = EnvelopeKey::new(private.open(&trace.octets(&format!("sk{letter}_c"))).unwrap()).unwrap();
    let (sealed_nonce, sealed_identity) =
        (trace.octets(&format!("n{letter}_c")), trace.octets(&format!("id{letter}_c")));
    let (nonce, identity) = key.open(&sealed_nonce, &sealed_identity).unwrap();
    assert_eq!(key.seal(&nonce, &identity).unwrap(), (sealed_nonce, sealed_identity));

    let certificate = trace.octets(&format!("cert{letter}"));
    assert_eq!(certificate[0], 5);
    let parts = [key.octets(), &nonce, &identity, &certificate];
    let signature = trace.octets(&format!("sig{letter}"));
    public.verify_parts(&parts, &signature, Signed::WithIdentity).unwrap();
    assert!(public.verify_parts(&parts, &signature, Signed::MessageAlone).is_err());
    let without_encoding = [key.octets(), &nonce, &identity, &certificate[1..]];
    assert!(public.verify_parts(&without_encoding, &signature, Signed::WithIdentity).is_err());
    Certificate::from_der(&certificate[1..]).unwrap();
    assert_eq!(Identity::read(&identity).unwrap().kind, Identity::DER_NAME);
    Side { key, nonce: nonce.to_vec(), identity: identity.to_vec() }
}

/// Decrypts a body, and encrypts it again.
fn opened(keys: &Phase1Keys, vector: &mut [u8; 16], sealed: &[u8]) -> Vec<u8> {
    let mut clear = sealed.to_vec();
    let next = keys.cipher().decrypt(*vector, &mut clear).unwrap();
    let mut again = clear.clone();
    assert_eq!(keys.cipher().encrypt(*vector, &mut again).unwrap(), next);
    assert_eq!(again, sealed);
    *vector = next;
    clear
}

/// The payloads of a message that begins with a digest, and what the digest covers.
fn protected(clear: &[u8], message_id: u32) -> (Vec<Payload<'_>>, QuickParts<'_>) {
    let chain = payloads(kind::HASH, clear, After::Padding).unwrap();
    let length: usize = chain.iter().map(|payload| payload.whole.len()).sum();
    let rest = &clear[chain[0].whole.len()..length];
    let find = |kind| chain.iter().find(|payload| payload.kind == kind);
    let (sa, nonce) = (find(kind::SA), find(kind::NONCE));
    let before: usize = chain[..chain.len().min(3)].iter().map(|payload| payload.whole.len()).sum();
    let parts = QuickParts {
        message_id,
        rest,
        sa: sa.map_or(&[], |payload| payload.whole),
        after_nonce: &clear[before..length],
        nonce: nonce.map_or(&[], |payload| payload.body),
    };
    (chain, parts)
}

/// Checks the three digests of a quick mode and answers both nonces.
fn quick_mode(keys: &Phase1Keys, mut vector: [u8; 16], id: u32, bodies: [&[u8]; 3]) -> [Vec<u8>; 2] {
    let clear = bodies.map(|body| opened(keys, &mut vector, body));
    let (first, parts) = protected(&clear[0], id);
    let initiator = parts.nonce;
    assert_eq!(first[0].body, &keys.hash_1(HashOrder::Rfc, parts)[..]);
    assert_ne!(first[0].body, &keys.hash_1(HashOrder::Gm, parts)[..]);
    let (second, parts) = protected(&clear[1], id);
    let responder = parts.nonce;
    assert_eq!(second[0].body, &keys.hash_2(HashOrder::Rfc, initiator, parts)[..]);
    let (third, _) = protected(&clear[2], id);
    assert_eq!(third[0].body, &keys.hash_3(id, [initiator, responder])[..]);
    for message in [&first, &second] {
        let kinds: Vec<u8> = message.iter().map(|payload| payload.kind).collect();
        assert_eq!(kinds, [kind::HASH, kind::SA, kind::NONCE, kind::ID, kind::ID]);
        let sa = Sa::read(message[1].body).unwrap();
        assert_eq!(sa.write(), message[1].body);
        let transform = &sa.proposals[0].transforms[0];
        assert_eq!((sa.proposals[0].protocol, sa.proposals[0].spi.len(), transform.id), (3, 4, 127));
        assert_eq!((transform.number_of(4), transform.number_of(5)), (Some(1), Some(20)));
        for network in &message[3..] {
            let identity = Identity::read(network.body).unwrap();
            let (address, prefix) = identity.as_network().unwrap();
            let again = if identity.kind == Identity::IPV4 {
                Identity::address(address)
            } else {
                Identity::network(address, prefix)
            };
            assert_eq!(again.write().len(), network.body.len());
            assert_eq!(again.data, identity.data);
        }
    }
    [initiator.to_vec(), responder.to_vec()]
}

#[test]
fn the_edition_of_2014_from_envelopes_to_quick_mode() {
    let trace = gm2014();
    let initiator = side(&trace, 'i', "resp_enc_pem", "init_sign_pub_pem");
    let responder = side(&trace, 'r', "init_enc_pem", "resp_sign_pub_pem");
    let cookies = trace.octets("cky");
    let cookies =
        Cookies { initiator: cookies[..8].try_into().unwrap(), responder: cookies[8..].try_into().unwrap() };
    let nonces = [&initiator.nonce[..], &responder.nonce];
    let keys = Phase1Keys::derive(Hash::Sm3, Cipher::Sm4, Basis::Envelope, cookies, nonces).unwrap();

    let sa = trace.octets("sa");
    let read = Sa::read(&sa).unwrap();
    assert_eq!(read.write(), sa);
    let transform = &read.proposals[0].transforms[0];
    let numbers = [1, 2, 3, 20, 11, 12].map(|kind| transform.number_of(kind).unwrap());
    assert_eq!(numbers, [127, 20, 10, 2, 1, 15840]);

    let mut vector = keys.first_vector([initiator.key.octets(), responder.key.octets()]);
    for (name, of_initiator, side) in [("h5", true, &initiator), ("h6", false, &responder)] {
        let clear = opened(&keys, &mut vector, &trace.octets(name));
        let chain = payloads(kind::HASH, &clear, After::Padding).unwrap();
        assert_eq!(chain.len(), 1);
        assert_eq!(chain[0].body, &keys.proof(of_initiator, [&[], &[]], &sa, &side.identity)[..]);
    }
    let id = u32::from_str_radix(trace.text("mid"), 16).unwrap();
    let bodies = ["q1", "q2", "q3"].map(|name| trace.octets(name));
    let vector = keys.exchange_vector(&vector, id);
    quick_mode(&keys, vector, id, [&bodies[0], &bodies[1], &bodies[2]]);
}

#[test]
fn the_edition_of_2010_from_the_first_message_to_the_keys_of_esp() {
    let trace = gm2010();
    let messages = trace.messages();
    let read: Vec<(Header, &[u8])> = messages.iter().map(|message| Header::read(message).unwrap()).collect();
    for (header, _) in &read {
        assert_eq!(header.version, version::V1_0);
    }
    let cookies = Cookies { initiator: read[1].0.initiator, responder: read[1].0.responder };
    let chain = payloads(read[0].0.next, read[0].1, After::Nothing).unwrap();
    let sa = chain[0].body;
    assert_eq!(Sa::read(sa).unwrap().write(), sa);
    assert_eq!(Sa::read(sa).unwrap().proposals[0].transforms[0].attributes[0], Attribute::short(11, 1));

    let mut sides = Vec::new();
    for (message, key, public) in [(2, "ski", "init_pub"), (3, "skr", "resp_pub")] {
        let (header, body) = &read[message];
        let chain = payloads(header.next, body, After::Nothing).unwrap();
        let kinds: Vec<u8> = chain.iter().map(|payload| payload.kind).collect();
        assert_eq!(kinds, [kind::SYMMETRIC_KEY, kind::NONCE, kind::ID, kind::SIGNATURE]);
        let key = EnvelopeKey::new(Zeroizing::new(trace.octets(key))).unwrap();
        let (nonce, identity) = key.open(chain[1].body, chain[2].body).unwrap();
        assert_eq!(key.seal(&nonce, &identity).unwrap(), (chain[1].body.to_vec(), chain[2].body.to_vec()));
        let public = public_key(&trace.octets(public));
        let parts = [key.octets(), &nonce, &identity];
        public.verify_parts(&parts, chain[3].body, Signed::MessageAlone).unwrap();
        assert!(public.verify_parts(&parts, chain[3].body, Signed::WithIdentity).is_err());
        sides.push(Side { key, nonce: nonce.to_vec(), identity: identity.to_vec() });
    }
    assert_eq!([&sides[0].nonce, &sides[1].nonce], [&trace.octets("ni"), &trace.octets("nr")]);
    let nonces = [&sides[0].nonce[..], &sides[1].nonce];
    let keys = Phase1Keys::derive(Hash::Sm3, Cipher::Sm4, Basis::Envelope, cookies, nonces).unwrap();
    let expected = ["skeyid", "skeyid_d", "skeyid_a", "skeyid_e"].map(|name| trace.octets(name));
    assert_eq!(keys.secrets().map(<[u8]>::to_vec), expected);

    let mut vector = keys.first_vector([sides[0].key.octets(), sides[1].key.octets()]);
    for (message, side) in [(4, 0), (5, 1)] {
        let clear = opened(&keys, &mut vector, read[message].1);
        let chain = payloads(read[message].0.next, &clear, After::Padding).unwrap();
        let proof = keys.proof(side == 0, [&[], &[]], sa, &sides[side].identity);
        assert_eq!(chain.last().unwrap().body, &proof[..]);
    }
    for message in [6, 7] {
        let (header, body) = &read[message];
        let clear = opened(&keys, &mut keys.exchange_vector(&vector, header.message_id), body);
        let (chain, parts) = protected(&clear, header.message_id);
        assert_eq!(chain[0].body, &keys.hash_1(HashOrder::Rfc, parts)[..]);
        assert_eq!(Notify::read(chain[1].body).unwrap().kind, Notify::INITIAL_CONTACT);
    }
    let id = read[8].0.message_id;
    let nonces = quick_mode(&keys, keys.exchange_vector(&vector, id), id, [read[8].1, read[9].1, read[10].1]);
    assert_eq!(nonces, [trace.octets("qm_ni"), trace.octets("qm_nr")]);
    let spi = trace.octets("spi");
    let source = KeymatSource { shared: &[], protocol: 3, spi: &spi, nonces: [&nonces[0], &nonces[1]] };
    assert_eq!(keys.keymat(&source, 48)[..], trace.octets("keymat"));
}

/// The program of 2010 writes the second half of C3 and then what its memory holds: no setting makes us take that.
#[test]
fn a_wrong_c3_is_refused() {
    let trace = gm2010();
    let messages = trace.messages();
    for (message, private) in [(2, "resp_priv"), (3, "init_priv")] {
        let (header, body) = Header::read(&messages[message]).unwrap();
        let chain = payloads(header.next, body, After::Nothing).unwrap();
        assert!(private_key(&trace.octets(private)).open(chain[0].body).is_err());
    }
}

#[test]
fn messages_are_written_as_they_were_read() {
    for message in &gm2010().messages()[..4] {
        let (header, body) = Header::read(message).unwrap();
        let chain = payloads(header.next, body, After::Nothing).unwrap();
        let again: Vec<(u8, Vec<u8>)> =
            chain.iter().map(|payload| (payload.kind, payload.body.to_vec())).collect();
        assert_eq!(&wire::message(header, &again), message);
    }
}

/// A point of the curve as a SubjectPublicKeyInfo.
fn public_key(point: &[u8]) -> PublicKey {
    let head = hex::decode("3059301306072a8648ce3d020106082a811ccf5501822d034200").unwrap();
    PublicKey::from_spki_der(&[&head[..], point].concat()).unwrap()
}

/// A scalar as a PrivateKeyInfo.
fn private_key(scalar: &[u8]) -> PrivateKey {
    let head = hex::decode("3041020100301306072a8648ce3d020106082a811ccf5501822d042730250201010420").unwrap();
    PrivateKey::from_pkcs8_der(&[&head[..], scalar].concat()).unwrap()
}
