"""Certificates made by openssl, which is not our own maker of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.processes import find_program


def make_certificates(folder: Path) -> str:
    """Write ca.pem, cert.pem and key.pem for localhost and 127.0.0.1; returns the first's path."""
    openssl = find_program("openssl", "openssl")
    (folder / "openssl.cnf").write_text(
        "[req]\nprompt = no\ndistinguished_name = name\n"
        "[name]\nCN = Test authority\n"
        "[ca]\nbasicConstraints = critical, CA:true\nkeyUsage = critical, keyCertSign\n"
        "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
        "[leaf]\nsubjectAltName = DNS:localhost, IP:127.0.0.1\nbasicConstraints = CA:false\n"
        "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
    )
    authority = "-CA ca.pem -CAkey ca.key -CAcreateserial"
    extensions = "-extfile openssl.cnf -extensions leaf"
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for arguments in (
        f"req -config openssl.cnf -x509 -extensions ca -days 2 {key} -keyout ca.key -out ca.pem",
        f"req -config openssl.cnf -subj /CN=localhost {key} -keyout key.pem -out cert.csr",
        f"x509 -req -days 2 -in cert.csr -out cert.pem {authority} {extensions}",
    ):
        subprocess.run([openssl, *arguments.split()], cwd=folder, capture_output=True, check=True)
    return str(folder / "ca.pem")
