"""The signature of a checkpoint: the holder of a key has signed these very files, and no other.

The format is OpenSSF's for models: a Sigstore bundle (JSON) with a DSSE envelope around an in-toto statement
that has the SHA-256 of each file, signed by ECDSA; `model_signing sign key` writes it. What must not live
here: fetching files (download.py), signing, certificates and transparency logs.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rhapsode_server.errors import ConfigError

STATEMENT = "application/vnd.in-toto+json"
PREDICATE = "https://model_signing/signature/v1.0"
LARGEST = 16 * 1024 * 1024
"""Bytes of a signature: some hundred thousand files."""
Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512


def signed_files(signature: Path, public_key: Path) -> dict[str, str]:
    """SHA-256 by name of the files that the key's holder has signed. ConfigError where it is not so."""
    key = _key(public_key)
    envelope = _envelope(signature)
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"]]
        kind = str(envelope["payloadType"])
    except (KeyError, TypeError, binascii.Error):
        raise ConfigError(f"{signature.name} is no signature of a model. {FORMAT}") from None
    if not any(_holds(key, each, _signed(kind, payload)) for each in signatures):
        raise ConfigError(
            f"{signature.name} is not by the holder of the key in {public_key}. Do not use these weights."
        )
    return _digests(signature, kind, payload)


FORMAT = "Make one with `model_signing sign key`, with the SHA-256 of each file."


def _key(file: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"Cannot read the public key {file}: {error.strerror}.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{file} is no public key in PEM.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigError(f"The public key {file} is not one of an elliptic curve, such as P-256.")
    return key


def _envelope(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST:
            raise ConfigError(f"{file.name} is larger than any signature of a model.")
        envelope = json.loads(file.read_bytes())["dsseEnvelope"]
    except OSError as error:
        raise ConfigError(f"Cannot read the signature {file}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"{file.name} is no signature of a model. {FORMAT}") from None
    return envelope if isinstance(envelope, dict) else {}


def _signed(kind: str, payload: bytes) -> bytes:
    """What is signed: type and payload, each with its length, so that neither can pass for the other."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _holds(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    by_size: dict[int, Hash] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    summed = by_size.get(key.curve.key_size)
    if summed is None:
        return False
    try:
        key.verify(signature, signed, ec.ECDSA(summed))
    except InvalidSignature:
        return False
    return True


def _digests(file: Path, kind: str, payload: bytes) -> dict[str, str]:
    try:
        statement = json.loads(payload)
        predicate = statement["predicate"]
        method = predicate["serialization"]["method"]
        if (kind, statement["predicateType"], method) != (STATEMENT, PREDICATE, "files"):
            raise ConfigError(f"{file.name} signs something else than the files of a model. {FORMAT}")
        resources = predicate["resources"]
        if any(each["algorithm"] != "sha256" for each in resources):
            raise ConfigError(f"{file.name} has other digests than SHA-256. {FORMAT}")
        return {str(each["name"]): str(each["digest"]) for each in resources}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"{file.name} signs something else than the files of a model. {FORMAT}") from None
