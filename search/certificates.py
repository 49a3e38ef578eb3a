"""The certificate of the link between home and helpers: made once, and the same on all of them.

Whoever reaches the port and is let in runs code: only who holds this key is.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed.security import Security

from runtime.errors import OperatorNeeded
from runtime.files import make_folders, trouble_in_words

FOLDER, CERTIFICATE, KEY = "tls", "cert.pem", "key.pem"
NAME = "furniture-crawler embedding"
DAYS = 3650


def make_certificate(folder: Path, root: Path, now: float) -> None:
    """Make certificate and key in the folder, below `root`, unless they are there; OperatorNeeded."""
    if (folder / CERTIFICATE).exists() and (folder / KEY).exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    begin = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        make_folders(folder, root)
        with os.fdopen(os.open(folder / KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secret)
        (folder / CERTIFICATE).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise trouble_in_words(error, folder) from error


def load_security(folder: Path) -> Security:
    """Return what encrypts the link and lets only holders of the key in; OperatorNeeded where it is not there."""
    certificate, key = folder / CERTIFICATE, folder / KEY
    for path in (certificate, key):
        if not path.is_file():
            raise OperatorNeeded(
                f"{path} is not there.",
                advice=f"`python run.py embed` makes it on the home machine: copy its folder {FOLDER} to {folder}.",
            )
    sides = {
        f"tls_{side}_{kind}": str(path)
        for side in ("client", "scheduler", "worker")
        for kind, path in (("cert", certificate), ("key", key))
    }
    return Security(tls_ca_file=str(certificate), require_encryption=True, **sides)
