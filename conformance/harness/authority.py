"""The user's own certificate authorities, made with the OpenSSL 3 command line.

An SM authority is a root and a sub-authority below it, SM2 keys, SM2-with-SM3 signatures. The SM2 user id must be
stated on every step (`-sigopt distid:…`, `-vfyopt distid:…`): OpenSSL's own default is the empty one, which the rest
of the world refuses. `issue --forget-distid` makes exactly that mistake, for the test of the server's advice.

As a program (Node, Go and Java suites): reads a CSR from standard input and prints {"certificate", "chain"} as JSON:

    python3 -m harness.authority DIRECTORY issue --role Encryption < request.csr
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

DISTID = "distid:1234567812345678"
USAGE = {
    "Encryption": "critical,keyEncipherment,dataEncipherment,keyAgreement",
    "Signature": "critical,digitalSignature,nonRepudiation",
}


def openssl(*arguments, stdin=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


class Authority:
    """`curve` SM2 gives an SM authority; P-256 one whose certificates no SM gateway may take."""

    def __init__(self, directory, name="ca", curve="SM2"):
        self.directory = Path(directory) / name
        self.name = name
        self.curve = curve
        self.sm = curve == "SM2"
        # The mark is written last, so a half-made authority is made again.
        if not (self.directory / "complete").exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._make()
            (self.directory / "complete").touch()

    def _digest(self):
        return ["-sm3"] if self.sm else ["-sha256"]

    def _sign_options(self, forget_distid=False):
        return self._digest() + (["-sigopt", DISTID] if self.sm and not forget_distid else [])

    def _path(self, name):
        return self.directory / name

    def _make(self):
        for name in ("root", "sub"):
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{self.curve}",
                    "-out", self._path(f"{name}.key"))
        openssl("req", "-new", "-x509", "-key", self._path("root.key"), "-days", "3650", *self._sign_options(),
                "-subj", f"/C=CN/O=tongguan tests/OU={self.name}/CN=root", "-out", self._path("root.pem"))
        request = openssl("req", "-new", "-key", self._path("sub.key"), *self._sign_options(),
                          "-subj", f"/C=CN/O=tongguan tests/OU={self.name}/CN=sub")
        sub = self._sign(request, "root", "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n")
        self._path("sub.pem").write_text(sub)

    def _sign(self, request, issuer, extensions, days=365, forget_distid=False):
        with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
            file.write(extensions)
            file.flush()
            # The serial number is OpenSSL's own random one: no serial file two suites could fight over.
            verify = ["-vfyopt", DISTID] if self.sm else []
            return openssl("x509", "-req", "-CA", self._path(f"{issuer}.pem"), "-CAkey", self._path(f"{issuer}.key"),
                           "-days", days, "-extfile", file.name, *verify, *self._sign_options(forget_distid),
                           stdin=request)

    def issue(self, request, role="Encryption", forget_distid=False):
        """Sign a request with the sub-authority; the chain is sub-authority first, root last."""
        extensions = f"basicConstraints=CA:FALSE\nkeyUsage={USAGE[role]}\n"
        return {"certificate": self._sign(request, "sub", extensions, forget_distid=forget_distid), "chain": self.chain()}

    def chain(self):
        return self._path("sub.pem").read_text() + self._path("root.pem").read_text()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("command", choices=["issue"])
    parser.add_argument("--name", default="ca")
    parser.add_argument("--curve", default="SM2")
    parser.add_argument("--role", choices=list(USAGE), default="Encryption")
    parser.add_argument("--forget-distid", action="store_true")
    options = parser.parse_args()
    authority = Authority(options.directory, options.name, options.curve)
    json.dump(authority.issue(sys.stdin.read(), options.role, options.forget_distid), sys.stdout)


if __name__ == "__main__":
    main()
