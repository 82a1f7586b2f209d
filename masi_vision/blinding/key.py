"""The key of a coded set, sealed: who is behind each code, readable with the passphrase alone.

References
----------
scrypt: RFC 7914. AES-GCM: NIST SP 800-38D. Cost 2**17, 8, 1: the OWASP Password Storage Cheat Sheet's first
choice for scrypt.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import Any, Literal

from masi_vision.errors import KeyFileError, reason_of
from masi_vision.names import View, place_of

FORMAT = 1
LEAST_PASSPHRASE = 12
_COST, _BLOCK, _PARALLEL, _KEY_BYTES = 2**17, 8, 1, 32
_FINGERPRINT = b"masi_vision: fingerprints in the log of a key"
"""What the seed is used for beside the orders: a name of its own keeps the two apart."""
_MOST_COST = 2**20  # a touched file must not take all the memory of the machine


@dataclass(frozen=True)
class CodedUnit:
    """One coded unit and the visit behind it.

    Parameters
    ----------
    code, patient, visit : str
    repeat_of : str or None
        Code of the unit whose photographs these are as well.
    photos : mapping of View to str
        SHA-256 of the original photo by view.
    """

    code: str
    patient: str
    visit: str
    repeat_of: str | None
    photos: Mapping[View, str]


@dataclass(frozen=True)
class PhotoLeftOut:
    """A photo, or a visit with all its photos, that could not be coded.

    Parameters
    ----------
    patient, visit : str
        Blank in a key of a version that kept one sentence of it all.
    view : View or ""
        Blank where it is the visit.
    why : str
    sha256 : str
        Of the original photo; blank where there is none, or it is not known.
    """

    patient: str
    visit: str
    view: View | Literal[""]
    why: str
    sha256: str = ""

    def __str__(self) -> str:
        """Its place, and why."""
        return ": ".join(filter(None, (place_of(self.patient, self.visit, self.view), self.why)))


@dataclass(frozen=True)
class Key:
    """What is sealed.

    Parameters
    ----------
    set_id : str
        Of the coded set that it opens.
    seed : int
        From which the orders of reading were drawn.
    units : tuple of CodedUnit
    orders : mapping of str to tuple of str
        Codes in each reader's order.
    left_out : tuple of PhotoLeftOut
        Photographs that could not be coded, and why.
    coded : mapping of str to str
        SHA-256 of each coded photo by its name in the set; empty, so not known, in a key of a version that
        did not keep it.
    """

    set_id: str
    seed: int
    units: tuple[CodedUnit, ...]
    orders: Mapping[str, tuple[str, ...]]
    left_out: tuple[PhotoLeftOut, ...] = ()
    coded: Mapping[str, str] = field(default_factory=dict)

    def unit(self, code: str) -> CodedUnit | None:
        """The unit of a code."""
        return next((one for one in self.units if one.code == code), None)

    def fingerprint(self, content: bytes) -> str:
        """HMAC-SHA-256 of a content under a secret of this key: without it nobody can try what fits.

        Notes
        -----
        A plain hash of an allocation to two arms is found by trying them all.
        """
        secret = hmac.digest(str(self.seed).encode(), _FINGERPRINT, "sha256")
        return hmac.digest(secret, content, "sha256").hex()


def check_passphrase(passphrase: str, before: str | None = None) -> None:
    """Refuse a passphrase that is soon guessed, or that opened the key before.

    Raises
    ------
    KeyFileError
    """
    if len(passphrase) < LEAST_PASSPHRASE:
        raise KeyFileError(
            f"The passphrase has {len(passphrase)} characters. Expected at least {LEAST_PASSPHRASE}. Choose "
            "a longer one, and keep it apart from the key file."
        )
    if before is not None and _as_derived(passphrase) == _as_derived(before):
        raise KeyFileError(
            "The new passphrase is the old one. Expected another, which nobody knows who is to be kept out."
        )


def sealed(key: Key, passphrase: str) -> bytes:
    """The key as a file's content: how it was sealed in the open, all else encrypted and authenticated.

    Raises
    ------
    KeyFileError
        The passphrase is too short.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    check_passphrase(passphrase)
    salt, nonce = token_bytes(16), token_bytes(12)
    head = {
        "masi_vision_key": FORMAT,
        "set": key.set_id,
        "scrypt": {"n": _COST, "r": _BLOCK, "p": _PARALLEL, "salt": _text(salt)},
        "nonce": _text(nonce),
    }
    shown = json.dumps(head, sort_keys=True).encode()
    plain = json.dumps(asdict(key), sort_keys=True, ensure_ascii=False).encode()
    secret = AESGCM(_derived(passphrase, salt, _COST, _BLOCK, _PARALLEL)).encrypt(nonce, plain, shown)
    return shown + b"\n" + base64.b64encode(secret) + b"\n"


def opened(file: Path, passphrase: str) -> Key:
    """Read a sealed key.

    Raises
    ------
    KeyFileError
        It is no key, the passphrase is another, or a byte of it was changed: the last two cannot be told
        apart.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head, shown, secret = _parts(file)
    scrypt = head["scrypt"]
    try:
        derived = _derived(passphrase, _bytes(scrypt["salt"]), scrypt["n"], scrypt["r"], scrypt["p"])
        plain = AESGCM(derived).decrypt(_bytes(head["nonce"]), secret, shown)
    except (InvalidTag, ValueError, TypeError, KeyError, OverflowError) as error:
        raise KeyFileError(
            f"{file.name} does not open. Expected the passphrase with which it was sealed, and the file as "
            "it was written. Try the passphrase again; if it is right, the file was changed: take a copy."
        ) from error
    values = json.loads(plain)
    units = tuple(CodedUnit(**unit) for unit in values["units"])
    orders = {reader: tuple(codes) for reader, codes in values["orders"].items()}
    left_out = tuple(
        PhotoLeftOut("", "", "", one) if isinstance(one, str) else PhotoLeftOut(**one)
        for one in values["left_out"]
    )
    return Key(values["set_id"], values["seed"], units, orders, left_out, values.get("coded", {}))


def set_of(file: Path) -> str:
    """The set that a key belongs to: known without the passphrase.

    Raises
    ------
    KeyFileError
        It is no key.
    """
    return str(_parts(file)[0]["set"])


def _parts(file: Path) -> tuple[dict[str, Any], bytes, bytes]:
    """What stands in the open, its bytes, and what is sealed."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise KeyFileError(
            f"{file} cannot be read ({reason_of(error)}). Expected the key file of a coded set."
        ) from error
    shown, _, rest = content.partition(b"\n")
    try:
        head = json.loads(shown)
        version, secret = head["masi_vision_key"], base64.b64decode(rest.strip(), validate=True)
        scrypt = head["scrypt"]
        fits = scrypt["n"] <= _MOST_COST and (scrypt["r"], scrypt["p"]) == (_BLOCK, _PARALLEL)
        fits = fits and head["set"] is not None
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise KeyFileError(
            f"{file.name} is no key of a coded set, or it was changed. Expected the file that masi blind "
            "wrote with --key."
        ) from error
    if version != FORMAT or not fits:
        raise KeyFileError(
            f"{file.name} is a key of format {version!r}. Expected {FORMAT}. Use the version that wrote it."
        )
    return head, shown, secret


def _derived(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=_KEY_BYTES, n=n, r=r, p=p).derive(_as_derived(passphrase))


def _as_derived(passphrase: str) -> bytes:
    """One keyboard types a letter as one sign, another as two."""
    return unicodedata.normalize("NFC", passphrase).encode("utf-8")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
