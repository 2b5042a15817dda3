//! From what the API calls a connection to what is negotiated: one table of words, one function.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tongguan_dataplane::orders::{ConnectionDocument, Document};
use tongguan_ike::config::{
    Authentication, Connection, ConnectionId, Credentials, NatTraversal, OwnCertificates, PeerIdentity,
    Phase1Suite, Phase2Suite, Selector,
};
use tongguan_ike::keys::HashOrder;
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::Identity;
use tongguan_model::certificate::Role;
use tongguan_model::connection::Tunnel;
use tongguan_pki::{Certificate, PrivateKey};
use zeroize::Zeroizing;

/// What a document asks for that cannot be done, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Words of the API with what they mean here.
const CIPHERS: [(&str, Cipher); 3] =
    [("sm4", Cipher::Sm4), ("aes", Cipher::Aes128), ("aes256", Cipher::Aes256)];
const HASHES: [(&str, Hash); 3] = [("sm3", Hash::Sm3), ("sha1", Hash::Sha1), ("sha256", Hash::Sha256)];
const GROUPS: [(&str, Option<Group>); 3] =
    [("disabled", None), ("group14", Some(Group::Modp2048)), ("group19", Some(Group::P256))];

fn word<T: Copy>(table: &[(&str, T)], what: &str, given: &str) -> Result<T, Refused> {
    let found = table.iter().find(|(word, _)| *word == given).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
        Refused(format!("{what} {given} is not done by this gateway, only {}", words.join(", ")))
    })
}

/// The tunnels of a gateway, each under its id; the number of each is for the caller to give. A tunnel for which
/// certificates are needed and not all are bound is left out.
///
/// # Errors
/// [`Refused`]: nothing of the document is to be used then.
pub fn tunnels(document: &Document) -> Result<Vec<(String, Connection)>, Refused> {
    let mut all = Vec::new();
    let mut known = Known { document, own: None, by_ca: BTreeMap::new() };
    for (id, connection) in &document.connections {
        let [tunnel] = &connection.settings.tunnels[..] else {
            return Err(Refused(format!("{id} has two tunnels, which this gateway does not do")));
        };
        let made = self::tunnel(&mut known, connection, tunnel);
        let made = made.map_err(|Refused(reason)| Refused(format!("{id}: {reason}")))?;
        all.extend(made.map(|made| (tunnel.id.as_str().to_owned(), made)));
    }
    Ok(all)
}

/// What connections of a document have in common, read once.
struct Known<'a> {
    document: &'a Document,
    own: Option<Arc<OwnCertificates>>,
    /// By the text of the peer's CA.
    by_ca: BTreeMap<&'a str, Arc<Credentials>>,
}

fn tunnel<'a>(
    known: &mut Known<'a>,
    connection: &'a ConnectionDocument,
    tunnel: &'a Tunnel,
) -> Result<Option<Connection>, Refused> {
    let document = known.document;
    let (ike, ipsec) = (&tunnel.ike, &tunnel.ipsec);
    word(&[("ikev1", ())], "IKE version", &ike.version)?;
    word(&[("main", ())], "IKE mode", &ike.mode)?;
    let remote = *connection.peers.get(tunnel.id.as_str()).ok_or_else(|| Refused("it has no peer".into()))?;
    let (authentication, local_id, remote_id) = match &tunnel.remote_ca {
        Some(ca) => match known.credentials(ca)? {
            Some(credentials) => {
                let local_id = Identity::new(Identity::DER_NAME, credentials.own.signature.subject_der());
                let named = |subject: &String| PeerIdentity::Named(subject.clone());
                let remote_id = ike.remote_id.as_ref().map_or(PeerIdentity::AnyOfCa, named);
                (Authentication::Envelope(credentials), local_id, remote_id)
            }
            None => return Ok(None),
        },
        None => {
            let key = connection.keys.get(tunnel.id.as_str());
            let key = key.ok_or_else(|| Refused("it has neither a pre-shared key nor a peer's CA".into()))?;
            let key = Zeroizing::new(key.expose().as_bytes().to_vec());
            let local_id = identity(ike.local_id.as_deref(), document.address);
            let remote_id = PeerIdentity::Exactly(identity(ike.remote_id.as_deref(), remote));
            (Authentication::Psk(Arc::new(key)), local_id, remote_id)
        }
    };
    let with_group = matches!(authentication, Authentication::Psk(_));
    let group = if with_group { word(&GROUPS, "DH group", &ike.pfs)? } else { None };
    if with_group && group.is_none() {
        return Err(Refused("a pre-shared key needs a DH group".into()));
    }
    // With envelopes there is no Diffie-Hellman in either phase, whatever the setting says.
    let secrecy = if with_group { word(&GROUPS, "DH group", &ipsec.pfs)? } else { None };
    Ok(Some(Connection {
        id: ConnectionId(0),
        remote: Some(remote),
        local: document.address,
        authentication,
        local_id,
        remote_id,
        selectors: selectors(&connection.settings.local_subnet, &connection.settings.remote_subnet)?,
        phase_1: vec![Phase1Suite {
            cipher: word(&CIPHERS, "IKE encryption", &ike.enc_alg)?,
            hash: word(&HASHES, "IKE authentication", &ike.auth_alg)?,
            group,
        }],
        phase_2: Phase2Suite {
            cipher: word(&CIPHERS, "IPsec encryption", &ipsec.enc_alg)?,
            integrity: word(&HASHES, "IPsec authentication", &ipsec.auth_alg)?,
            group: secrecy,
        },
        phase_1_lifetime: lifetime(ike.lifetime)?,
        phase_2_lifetime: lifetime(ipsec.lifetime)?,
        hash_order: HashOrder::Rfc,
        dead_peer_detection: tunnel.enable_dpd,
        nat: if tunnel.enable_nat_traversal { NatTraversal::Always } else { NatTraversal::Off },
        immediately: connection.settings.effect_immediately,
    }))
}

impl<'a> Known<'a> {
    /// What is bound, with the peer's CA; none if one of both is missing.
    fn credentials(&mut self, ca: &'a str) -> Result<Option<Arc<Credentials>>, Refused> {
        if let Some(credentials) = self.by_ca.get(ca) {
            return Ok(Some(Arc::clone(credentials)));
        }
        let own = match &self.own {
            Some(own) => Arc::clone(own),
            None => match own_certificates(self.document)? {
                Some(own) => Arc::clone(self.own.insert(Arc::new(own))),
                None => return Ok(None),
            },
        };
        let peer_ca = Certificate::chain_from_pem(ca);
        let peer_ca =
            peer_ca.map_err(|error| Refused(format!("the CA of the peer cannot be read: {error}")))?;
        let credentials = Arc::new(Credentials { own, peer_ca });
        self.by_ca.insert(ca, Arc::clone(&credentials));
        Ok(Some(credentials))
    }
}

/// What is bound; none if one of both is missing.
fn own_certificates(document: &Document) -> Result<Option<OwnCertificates>, Refused> {
    let of_role = |role: Role| {
        let bound = document.certificates.get(role.as_str())?;
        let unreadable = |what: &str| Refused(format!("the {} {what} cannot be read", role.as_str()));
        let certificate = Certificate::from_pem(&bound.certificate);
        let certificate = certificate.map_err(|_| unreadable("certificate"));
        let key = PrivateKey::from_pkcs8_pem(bound.key.expose()).map_err(|_| unreadable("key"));
        Some(certificate.and_then(|certificate| Ok((certificate, key?))))
    };
    let (Some(signature), Some(encryption)) = (of_role(Role::Signature), of_role(Role::Encryption)) else {
        return Ok(None);
    };
    let ((signature, signature_key), (encryption, encryption_key)) = (signature?, encryption?);
    Ok(Some(OwnCertificates { signature, signature_key, encryption, encryption_key }))
}

/// An identification as it is written in settings: an address, a mail address, a domain name.
fn identity(given: Option<&str>, address: IpAddr) -> Identity {
    match given {
        None => Identity::address(address),
        Some(text) => match text.parse() {
            Ok(address) => Identity::address(address),
            Err(_) if text.contains('@') => Identity::new(Identity::USER_FQDN, text),
            Err(_) => Identity::new(Identity::FQDN, text),
        },
    }
}

/// Each block of our side with each of the peer's: IKEv1 negotiates one pair at a time.
fn selectors(local: &str, remote: &str) -> Result<Vec<Selector>, Refused> {
    let blocks = |text: &str| -> Result<Vec<(IpAddr, u8)>, Refused> {
        let block = |block: &str| {
            let net: IpNet = block.trim().parse().map_err(|_| Refused(format!("{block} is no block")))?;
            Ok((net.network(), net.prefix_len()))
        };
        text.split(',').map(block).collect()
    };
    let (locals, remotes) = (blocks(local)?, blocks(remote)?);
    let pairs = locals.iter().flat_map(|local| remotes.iter().map(|remote| (*local, *remote)));
    Ok(pairs.map(|(local, remote)| Selector { local, remote }).collect())
}

/// Zero is what the API allows and nobody can negotiate.
fn lifetime(seconds: u32) -> Result<Duration, Refused> {
    if seconds == 0 {
        return Err(Refused("a lifetime of zero seconds cannot be negotiated".into()));
    }
    Ok(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tongguan_dataplane::orders::SecretText;
    use tongguan_model::connection::Settings;

    use super::*;

    /// A connection as the API stores it, with a pre-shared key.
    fn document(change: impl Fn(&mut serde_json::Value)) -> Document {
        let mut settings = serde_json::json!({
            "local_subnet": "10.1.0.0/16,10.2.0.0/16", "remote_subnet": "10.3.0.0/16",
            "effect_immediately": true, "auto_config_route": true, "tunnels_bgp": false, "health_check": null,
            "tunnels": [{
                "id": "tun-1", "customer_gateway": "cgw-1", "index": null, "role": null,
                "enable_dpd": true, "enable_nat_traversal": true, "remote_ca": null,
                "ike": {"version": "ikev1", "mode": "main", "enc_alg": "aes", "auth_alg": "sha1", "pfs": "group14",
                    "lifetime": 86400, "local_id": null, "remote_id": "peer.example"},
                "ipsec": {"enc_alg": "aes256", "auth_alg": "sha256", "pfs": "disabled", "lifetime": 3600},
                "bgp": null
            }]
        });
        change(&mut settings);
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let peers = BTreeMap::from([("tun-1".into(), "192.0.2.2".parse().unwrap())]);
        let keys = BTreeMap::from([("tun-1".into(), SecretText::new("of both".into()))]);
        let connection = ConnectionDocument { settings, peers, keys };
        Document {
            id: "vpn-1".into(),
            address: "192.0.2.1".parse().unwrap(),
            certificates: BTreeMap::new(),
            connections: BTreeMap::from([("vco-1".into(), connection)]),
        }
    }

    #[test]
    fn settings_become_what_is_negotiated() {
        let all = tunnels(&document(|_| {})).unwrap();
        let [(id, connection)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(id, "tun-1");
        assert_eq!(connection.selectors.len(), 2);
        assert_eq!(connection.phase_1[0].group, Some(Group::Modp2048));
        assert_eq!((connection.phase_2.cipher, connection.phase_2.group), (Cipher::Aes256, None));
        assert_eq!(connection.local_id, Identity::address("192.0.2.1".parse().unwrap()));
        let peer = Identity::new(Identity::FQDN, "peer.example");
        assert_eq!(connection.remote_id, PeerIdentity::Exactly(peer));
    }

    #[test]
    fn what_cannot_be_done_is_refused_in_words() {
        for (place, value, reason) in [
            ("/tunnels/0/ike/version", "ikev2", "vco-1: IKE version ikev2 is not done"),
            ("/tunnels/0/ike/auth_alg", "md5", "vco-1: IKE authentication md5 is not done"),
            ("/tunnels/0/ike/pfs", "disabled", "vco-1: a pre-shared key needs a DH group"),
            ("/tunnels/0/ipsec/enc_alg", "3des", "vco-1: IPsec encryption 3des is not done"),
        ] {
            let wrong = document(|settings| *settings.pointer_mut(place).unwrap() = value.into());
            let Refused(said) = tunnels(&wrong).unwrap_err();
            assert!(said.starts_with(reason), "{said}");
        }
    }

    #[test]
    fn a_tunnel_without_its_certificates_is_left_out() {
        let without = document(|settings| settings["tunnels"][0]["remote_ca"] = "a CA".into());
        assert!(tunnels(&without).unwrap().is_empty());
    }
}
