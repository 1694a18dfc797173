"""Signed weights: what OpenSSF's own tool has signed is taken, and whatever is not just that is refused."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rhapsode_server import download
from rhapsode_server.errors import ConfigError
from rhapsode_server.signature import signed_files

HERE = Path(__file__).parent / "signature"
"""Made by model_signing 1.1.1, of the files below and a pickle that no download takes."""
FILES = {"config.json": b"{}\n", "model.safetensors": bytes(2000), "sub/a.txt": b"hi\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint as it was downloaded, with its signature."""
    made = tmp_path / "checkpoint"
    for name, data in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(data)
    (made / ".cache" / "huggingface").mkdir(parents=True)
    (made / ".cache" / "huggingface" / "config.json.metadata").write_text("x")
    shutil.copy(HERE / "model.sig", made / "model.sig")
    return made


def refused(folder: Path, key: Path = HERE / "public.pem") -> str:
    """What is said of it."""
    with pytest.raises(ConfigError) as caught:
        download.check_signed(folder, "model.sig", key)
    return caught.value.message


def test_what_the_tool_has_signed_is_taken(folder: Path) -> None:
    assert set(signed_files(folder / "model.sig", HERE / "public.pem")) == {*FILES, "pytorch_model.bin"}
    download.check_signed(folder, "model.sig", HERE / "public.pem")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_a_missing_one_and_one_more_are_refused(name: str, folder: Path) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert f"{name} is not the file whose digest was given. Do not use these weights." in refused(folder)
    (folder / name).unlink()
    assert f"{name} has a digest but is not there." in refused(folder)
    (folder / name).write_bytes(FILES[name])
    (folder / "extra.json").write_text("{}")
    assert "extra.json has not been signed. Do not use these weights." in refused(folder)


def test_a_file_that_could_run_is_no_better_for_being_signed(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"x\n")
    assert "pytorch_model.bin has not been signed." in refused(folder)


def pem(key: Any) -> bytes:
    """A public key as a file."""
    written: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return written


def test_another_key_and_what_is_no_such_key_are_refused(folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    assert f"Cannot read the public key {key}: No such file" in refused(folder, key)
    key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    assert f"model.sig is not by the holder of the key in {key}." in refused(folder, key)
    key.write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    assert "is not one of an elliptic curve" in refused(folder, key)
    key.write_text("no key")
    assert "is no public key in PEM" in refused(folder, key)
    key.write_bytes(pem(ec.generate_private_key(ec.SECP256K1())))
    assert "is not by the holder" in refused(folder, key)


def sign(folder: Path, key: Any, statement: object, kind: str = "application/vnd.in-toto+json") -> None:
    """A signature as the tool writes it, of any statement."""
    payload = json.dumps(statement).encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    made = key.sign(signed, ec.ECDSA(by_size[key.curve.key_size]))
    signatures = [{"sig": base64.b64encode(made).decode()}]
    envelope = {
        "payloadType": kind,
        "payload": base64.b64encode(payload).decode(),
        "signatures": signatures,
    }
    (folder / "model.sig").write_text(json.dumps({"dsseEnvelope": envelope}))


def statement(**changed: Any) -> dict[str, Any]:
    """What is said of the files."""
    resources = [
        {"name": name, "algorithm": "sha256", "digest": digest}
        for name, digest in signed_files(HERE / "model.sig", HERE / "public.pem").items()
    ]
    predicate = {"serialization": {"method": "files"}, "resources": resources}
    return {"predicateType": "https://model_signing/signature/v1.0", "predicate": predicate | changed}


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_every_curve_of_the_tool_is_understood(curve: Any, folder: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(curve)
    (tmp_path / "key.pem").write_bytes(pem(key))
    sign(folder, key, statement())
    download.check_signed(folder, "model.sig", tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (3, "signs something else than the files of a model"),
        ({"predicateType": "x"}, "signs something else"),
        (statement(serialization={"method": "shards"}), "signs something else"),
        (statement(resources=[{"name": "a", "algorithm": "blake2b", "digest": "x"}]), "other digests than"),
        (statement(resources=[{"name": "a"}]), "signs something else"),
    ],
)
def test_a_good_signature_of_something_else_is_refused(
    said: object, sentence: str, folder: Path, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(pem(key))
    sign(folder, key, said)
    assert sentence in refused(folder, tmp_path / "key.pem")


def test_a_type_that_was_not_signed_is_refused(folder: Path) -> None:
    bundle = json.loads((folder / "model.sig").read_text())
    bundle["dsseEnvelope"]["payloadType"] += "x"
    (folder / "model.sig").write_text(json.dumps(bundle))
    assert "is not by the holder" in refused(folder)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "null", "[" * 100_000, '{"dsseEnvelope": 3}', '{"dsseEnvelope": {"payload": "%"}}'),
        '{"dsseEnvelope": {"payload": "", "payloadType": "x", "signatures": 3}}',
        '{"dsseEnvelope": {"payload": "", "payloadType": "x", "signatures": [{"sig": "%%"}]}}',
    ],
)
def test_what_is_no_signature_is_refused_in_a_sentence(text: str, folder: Path) -> None:
    (folder / "model.sig").write_text(text)
    assert "model.sig is no signature of a model." in refused(folder)


def test_nobody_s_signature_is_no_signature(folder: Path) -> None:
    bundle = json.loads((folder / "model.sig").read_text())
    bundle["dsseEnvelope"]["signatures"] = []
    (folder / "model.sig").write_text(json.dumps(bundle))
    assert "is not by the holder" in refused(folder)
    (folder / "model.sig").unlink()
    assert "Cannot read the signature" in refused(folder)
