//! What the integration tests share: the `openssl` command in a throw-away directory.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![allow(dead_code, clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tongguan_pki::{KeySpec, PrivateKey, Subject};

/// The user id option of OpenSSL.
pub(crate) const ID: &str = "distid:1234567812345678";
pub(crate) const DAY: i64 = 86_400;

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

pub(crate) fn subject(common_name: &str) -> Subject {
    Subject::parse(&format!("CN={common_name},OU=kms,O=aliyun,C=CN")).unwrap()
}

/// A directory to run `openssl` in; file names are relative to it.
pub(crate) struct OpenSsl(TempDir);

impl OpenSsl {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs `openssl` with a command line split at blanks.
    pub(crate) fn run(&self, line: &str) -> Output {
        let args: Vec<&str> = line.split_whitespace().collect();
        self.run_args(&args)
    }

    pub(crate) fn run_args(&self, args: &[&str]) -> Output {
        Command::new("openssl")
            .args(args)
            .current_dir(self.0.path())
            .env_remove("OPENSSL_CONF")
            .output()
            .expect("these tests need the `openssl` command, version 3 with SM2 (Debian: apt-get install openssl)")
    }

    /// Runs and must succeed; standard output and error together.
    pub(crate) fn ok(&self, line: &str) -> String {
        accepted(line, &self.run(line))
    }

    /// Makes `NAME.key` of `spec` with OpenSSL, as PKCS #8.
    pub(crate) fn key(&self, name: &str, spec: KeySpec) {
        let algorithm = match spec {
            KeySpec::Rsa2048 => "RSA -pkeyopt rsa_keygen_bits:2048",
            KeySpec::Rsa3072 => "RSA -pkeyopt rsa_keygen_bits:3072",
            KeySpec::Rsa4096 => "RSA -pkeyopt rsa_keygen_bits:4096",
            KeySpec::EcP256 => "EC -pkeyopt ec_paramgen_curve:P-256",
            KeySpec::EcSm2 => "EC -pkeyopt ec_paramgen_curve:SM2",
        };
        self.ok(&format!("genpkey -algorithm {algorithm} -out {name}.key"));
    }

    /// Makes the self-signed CA `NAME.pem` with OpenSSL, options of `signing` apart.
    pub(crate) fn root(&self, name: &str, spec: KeySpec, signing: &str) {
        self.key(name, spec);
        let options = "-subj /C=CN/O=aliyun/OU=kms/CN=openssl-root -days 30";
        self.ok(&format!("req -x509 -new -key {name}.key {signing} {options} -out {name}.pem"));
    }

    /// Lets the CA `ca` certify `NAME.csr` as `NAME.pem`.
    pub(crate) fn certify(&self, ca: &str, name: &str, signing: &str) {
        let issuer = format!("-CA {ca}.pem -CAkey {ca}.key -CAcreateserial");
        self.ok(&format!(
            "x509 -req -in {name}.csr {issuer} {signing} -copy_extensions copyall -days 10 -out {name}.pem"
        ));
    }
}

/// Options of `pkeyutl` for messages, not digests.
pub(crate) fn raw(spec: KeySpec) -> String {
    match spec {
        KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 | KeySpec::EcP256 => {
            "-rawin -digest sha256".into()
        }
        KeySpec::EcSm2 => format!("-rawin -digest sm3 -pkeyopt {ID}"),
    }
}

/// Combined output of a run that must have succeeded.
pub(crate) fn accepted(what: &str, output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "openssl {what}\n{text}");
    text
}

/// Options that make OpenSSL sign as the standard of `spec` demands.
pub(crate) fn signing(spec: KeySpec) -> String {
    match spec {
        KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 | KeySpec::EcP256 => "-sha256".into(),
        KeySpec::EcSm2 => format!("-sm3 -sigopt {ID}"),
    }
}

/// Options that make OpenSSL verify signatures on requests and leaves.
pub(crate) fn verifying(spec: KeySpec) -> String {
    match spec {
        KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 | KeySpec::EcP256 => String::new(),
        KeySpec::EcSm2 => format!("-vfyopt {ID}"),
    }
}

pub(crate) fn generate(spec: KeySpec) -> PrivateKey {
    PrivateKey::generate(spec).unwrap()
}
