//! A certificate authority of the tests' own.

use tongguan_pki::{Ca, KeySpec, Subject, Usage};

const DAY: i64 = 86_400;

/// Certifies the keys that the service makes.
#[derive(Debug)]
pub struct Issuer {
    ca: Ca,
    spec: KeySpec,
    from: i64,
    to: i64,
}

impl Issuer {
    /// A new root; it and what it certifies are valid between these UNIX seconds.
    pub fn new(spec: KeySpec, from: i64, to: i64) -> Self {
        let subject = Subject::parse("CN=ca,OU=b,O=c,C=CN").unwrap();
        Self { ca: Ca::new(spec, &subject, from, to).unwrap(), spec, from, to }
    }

    /// One that is valid since yesterday, for a month.
    pub fn now(spec: KeySpec) -> Self {
        let now = jiff::Timestamp::now().as_second();
        Self::new(spec, now - DAY, now + 30 * DAY)
    }

    /// When what it certifies ends, UNIX seconds.
    pub fn to(&self) -> i64 {
        self.to
    }

    /// The kind of its key.
    pub fn spec(&self) -> KeySpec {
        self.spec
    }

    /// Certificate and chain for a request.
    pub fn issue(&self, csr: &str, usage: Usage) -> (String, String) {
        self.issue_until(csr, usage, self.to)
    }

    /// The same, for a certificate that ends at this UNIX second.
    pub fn issue_until(&self, csr: &str, usage: Usage, to: i64) -> (String, String) {
        let leaf = self.ca.issue(csr, usage, self.from, to).unwrap();
        (leaf.to_pem(), self.ca.certificate().to_pem())
    }
}
