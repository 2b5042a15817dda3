//! Certificates with their keys, and a request, of fixed bytes: for answers that are compared byte for byte. They are
//! valid from November 2026 for twenty years, and stand for nothing but these tests.

/// RSA certificate for `www.example.com`, its issuer after it.
pub const RSA: &str = include_str!("../fixtures/rsa.pem");
/// Its private key, PKCS #1.
pub const RSA_KEY: &str = include_str!("../fixtures/rsa.key");
/// SM certificate for encryption, for `vpn.example.com`, its issuer after it.
pub const SM_ENCRYPTION: &str = include_str!("../fixtures/sm-encryption.pem");
/// Its private key, SEC 1.
pub const SM_ENCRYPTION_KEY: &str = include_str!("../fixtures/sm-encryption.key");
/// SM certificate for signatures, likewise.
pub const SM_SIGNATURE: &str = include_str!("../fixtures/sm-signature.pem");
/// Its private key, SEC 1.
pub const SM_SIGNATURE_KEY: &str = include_str!("../fixtures/sm-signature.key");
/// Request for an RSA certificate.
pub const REQUEST: &str = include_str!("../fixtures/request.pem");
/// Its private key, PKCS #8.
pub const REQUEST_KEY: &str = include_str!("../fixtures/request.key");

/// The parameters that upload the SM pair.
#[must_use]
pub fn pair(name: &str) -> [(&str, &str); 5] {
    [
        ("Name", name),
        ("EncryptCert", SM_ENCRYPTION),
        ("EncryptPrivateKey", SM_ENCRYPTION_KEY),
        ("SignCert", SM_SIGNATURE),
        ("SignPrivateKey", SM_SIGNATURE_KEY),
    ]
}
