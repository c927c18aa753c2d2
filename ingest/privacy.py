"""No patient passes the door: tokens, what is found in free text, and the key.

Here: the token key and its care; what each delivered column becomes when it lands (as is, token, flag, found keys,
nothing).
Not here: which column is what; the contract says that.

A token is HMAC-SHA256 with the instance's key over `<domain>|<normalised value>`. The same identifier gives the same
token in every system of a domain, and nothing can be computed back without the key. The key is made on the first run,
lies outside the lake, and is readable by its owner alone. Without it old and new identifiers never join again: back
it up.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.coded import is_coded, plain, said, spread
from ingest.contract import Column, Extract, Token

if TYPE_CHECKING:
    import polars as pl

_KEY_BYTES = 32
_TOKEN_LENGTH = 32
# Below this many values the standard library is faster than the engine calls.
_FEW = 300
# Values that a thread makes tokens of at once: their pads and hashes fit the processor's cache.
_SHARE = 16_384
# A column with fewer distinct values than this share of its rows is worth counting them out.
_REPEATED = 0.7


class TokenKeyError(Exception):
    """The token key is missing, damaged or another one than before."""


@dataclass(frozen=True, repr=False)
class TokenKey:
    """The secret of an instance."""

    secret: bytes

    @classmethod
    def path(cls, home: Path) -> Path:
        """Where the key of an instance lies: below the home, outside the lake."""
        return home / "keys" / "token.key"

    @classmethod
    def load_or_create(cls, home: Path) -> TokenKey:
        """The key of an instance; made when there is none and nothing has been landed without it.

        Raises:
            TokenKeyError: the key file is damaged.
        """
        path = cls.path(home)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            _write_private(path, _new_secret().hex())
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> TokenKey:
        """Read a key file.

        Raises:
            TokenKeyError: there is no such file, or it holds no key.
        """
        try:
            text = path.read_text(encoding="ascii").strip()
            secret = bytes.fromhex(text)
        except FileNotFoundError:
            raise TokenKeyError(
                f"no token key at {path}: restore a backup, or new identifiers join no old ones"
            ) from None
        except (UnicodeDecodeError, ValueError):
            raise TokenKeyError(f"{path} holds no token key: restore a backup") from None
        if len(secret) != _KEY_BYTES:
            raise TokenKeyError(f"{path} holds no token key: restore a backup")
        return cls(secret)

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without giving them away."""
        return hmac.new(self.secret, b"suture token key", hashlib.sha256).hexdigest()[:16]

    def token(self, domain: str, normalised: str) -> str:
        """Token of one value that is normalised already."""
        message = f"{domain}|{normalised}".encode()
        return "t_" + hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:_TOKEN_LENGTH]

    def __repr__(self) -> str:
        return f"TokenKey({self.fingerprint})"


def backup(home: Path, file: Path) -> str:
    """Write a copy of the key to `file` (mode 600) and return its fingerprint.

    Raises:
        TokenKeyError: there is no key, or `file` exists and holds another one.
    """
    key = TokenKey.load(TokenKey.path(home))
    if file.exists():
        if TokenKey.load(file) != key:
            raise TokenKeyError(f"{file} holds another token key; it is left alone")
        return key.fingerprint
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_private(file, key.secret.hex())
    return key.fingerprint


def check(home: Path, landed_with: str | None = None) -> list[str]:
    """What is wrong with the key of an instance; empty when all is well.

    `landed_with` is the fingerprint that the batch ledger remembers.
    """
    path = TokenKey.path(home)
    try:
        key = TokenKey.load(path)
    except TokenKeyError as trouble:
        return [str(trouble)]
    troubles = []
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        troubles.append(f"{path} is readable by others (mode {mode:o}): chmod 600")
    if landed_with is not None and landed_with != key.fingerprint:
        troubles.append(f"the lake was landed with key {landed_with}, {path} holds {key.fingerprint}: restore a backup")
    return troubles


def _new_secret() -> bytes:
    """A secret of seven random bits a byte: as text it goes to the engine's HMAC, which takes half the time."""
    return bytes(byte & 0x7F for byte in secrets.token_bytes(_KEY_BYTES))


def _write_private(path: Path, text: str) -> None:
    """Write aside and link into place, so that a key is never half there and never replaced."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.aside")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink(missing_ok=True)


def landed_frame(extract: Extract, rows: pl.DataFrame, key: TokenKey) -> pl.DataFrame:
    """The rows as they land: allowed columns only, identifiers as tokens, found keys instead of free text.

    Other columns of `rows` that start with an underscore are kept; row order is kept.
    """
    kept = [name for name in rows.columns if name.startswith("_")]
    return _land([*extract.columns.values()], rows, kept, key).select(*extract.landed_columns, *kept)


def landed_series(column: Column, values: pl.Series, key: TokenKey) -> list[pl.Series]:
    """What one delivered column becomes."""
    return _land([column], values.alias(column.name).to_frame(), [], key).get_columns()


def _land(columns: Sequence[Column], rows: pl.DataFrame, kept: Sequence[str], key: TokenKey) -> pl.DataFrame:
    searched = [column.name for column in columns if column.flags or column.parse or column.lands_if is not None]
    rows = plain(rows, [name for name in searched if name in rows.columns])
    landed = rows.select([each for column in columns for each in _landed(column)] + list(kept))
    wanted = {name: token for column in columns for name, token in _tokens_of(column).items()}
    made = _tokens([(landed[name], token) for name, token in wanted.items()], key)
    return landed.with_columns(made) if made else landed


def _landed(column: Column) -> list[pl.Expr]:
    """What one delivered column becomes; where that is a token, the value that it is made of."""
    import polars as pl

    value = pl.col(column.name)
    landed: list[pl.Expr] = []
    if column.lands:
        if column.token is not None:
            landed.append(value)
        elif column.lands_if is not None:
            landed.append(pl.when(value.str.contains(column.lands_if)).then(value))
        else:
            landed.append(value)
    if column.drop:
        return []
    for name, pattern in column.flags.items():
        flag = pl.when(value.str.contains(pattern)).then(pl.lit("Y")).otherwise(pl.lit("N"))
        landed.append(flag.alias(f"{column.name}__{name}"))
    for name, parser in (column.parse or {}).items():
        landed.append(PARSERS[parser](value).alias(f"{column.name}__{name}"))
    return landed


def _tokens_of(column: Column) -> dict[str, Token]:
    """The raw columns that are tokens."""
    made: dict[str, Token] = {}
    if column.token is not None and column.lands:
        made[column.name] = column.token
    for name, parser in (column.parse or {}).items():
        if parser in _FINDS_SERIALS and not column.drop:
            made[f"{column.name}__{name}"] = _FOUND_SERIAL
    return made


def tokens(values: pl.Series, token: Token, key: TokenKey) -> pl.Series:
    """Tokens of a column's values; null stays null, and so does a value that normalises to nothing."""
    return _tokens([(values, token)], key)[0]


def normal_form(values: pl.Series, steps: Sequence[str]) -> pl.Series:
    """The values after the steps of `normalise`; null where nothing is left of one."""
    import polars as pl

    value = pl.col("value")
    for step in steps:
        value = _STEPS[step](value)
    frame = values.alias("value").to_frame().select(value)
    return frame.select(pl.when(pl.col("value") != "").then("value")).to_series()


def _unless_empty(value: pl.Expr, otherwise: pl.Expr) -> pl.Expr:
    import polars as pl

    return pl.when(value != "").then(value).otherwise(otherwise)


_STEPS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "trim": lambda value: value.str.strip_chars(),
    "upper": lambda value: value.str.to_uppercase(),
    "alnum": lambda value: value.str.replace_all(r"[^A-Za-z0-9]", ""),
    "strip_zeros": lambda value: _unless_empty(value.str.strip_chars_start("0"), value),
    # A bill sent again carries one letter more.
    "strip_rebill": lambda value: value.str.replace(r"[A-Z]$", ""),
}


def _tokens(wanted: Sequence[tuple[pl.Series, Token]], key: TokenKey) -> list[pl.Series]:
    """Tokens of columns of values, all made together."""
    import polars as pl

    each_said = [_said(values) for values, _ in wanted]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        normal = list(pool.map(lambda each, of: normal_form(each[0], of[1].normalise), each_said, wanted))
    filled = [each.drop_nulls() for each in normal]
    made = _hmac([(token.domain, each) for each, (_, token) in zip(filled, wanted, strict=True)], key)
    landed = []
    for number, (values, token) in enumerate(wanted):
        column, codes = made[number], each_said[number][1]
        if token.show_last_four:
            column = filled[number].str.tail(4) + "~" + column
        if filled[number].len() < normal[number].len():
            is_filled = normal[number].is_not_null()
            column = column.gather(pl.select(pl.when(is_filled).then(is_filled.cum_sum() - 1)).to_series())
        if is_coded(values.dtype) and codes is not None:
            column = spread(column, codes)
        elif codes is not None:
            column = column.gather(codes)
        landed.append(column.alias(values.name))
    return landed


def _said(values: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """The values said once, as far as that is cheap, and for each row which one it has; None where each has its own."""
    import polars as pl

    if is_coded(values.dtype):
        return said(values)
    # Rows beside each other often say the same: the lines of one message, the encounters of one patient.
    runs = values.rle_id()
    firsts = values.filter((runs != runs.shift(1)).fill_null(True))
    told, codes = (firsts, runs) if firsts.len() < _REPEATED * values.len() else (values, None)
    frame = told.alias("value").to_frame()
    if not told.len() or frame.select(pl.col("value").approx_n_unique()).item() >= _REPEATED * told.len():
        return told, codes
    distinct = told.unique(maintain_order=True)
    numbers = pl.DataFrame({"value": distinct}).with_row_index("code")
    places = frame.join(numbers, on="value", how="left", nulls_equal=True, maintain_order="left")["code"]
    return distinct, places if codes is None else places.gather(codes)


def _hmac(said: Sequence[tuple[str, pl.Series]], key: TokenKey) -> list[pl.Series]:
    """Tokens of normalised values of several domains."""
    import polars as pl

    count = sum(values.len() for _, values in said)
    if count < _FEW:
        return [pl.Series([key.token(domain, text) for text in values], dtype=pl.String) for domain, values in said]
    shares = [
        (column, domain, values.slice(at, _SHARE))
        for column, (domain, values) in enumerate(said)
        for at in range(0, values.len(), _SHARE)
    ]
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, len(shares))) as pool:
        made = list(pool.map(lambda share: _hmac_share(share[2], share[1], key.secret), shares))
    landed: list[list[pl.Series]] = [[pl.Series(dtype=pl.String)] for _ in said]
    for (column, *_), tokens_made in zip(shares, made, strict=True):
        landed[column].append(tokens_made)
    return [pl.concat(each, rechunk=True) for each in landed]


def _hmac_share(values: pl.Series, domain: str, secret: bytes) -> pl.Series:
    import polars as pl
    from polars_hash import CryptographicHashingNameSpace

    if secret.isascii():
        said = f"{domain}|" + values
        made = CryptographicHashingNameSpace(pl.col("said")).hmac_sha256(key=secret.decode("ascii"))
        digests = said.alias("said").to_frame().select(made).to_series()
    else:
        digests = _hmac_of_pads(values, domain, secret)
    return digests.alias("made").to_frame().select("t_" + pl.col("made").str.head(_TOKEN_LENGTH)).to_series()


def _hmac_of_pads(values: pl.Series, domain: str, secret: bytes) -> pl.Series:
    """HMAC as its definition has it (RFC 2104): two hashes over two pads. The engine's own takes no key but text."""
    import polars as pl

    block = secret.ljust(64, b"\0")
    inner, outer = bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
    # The pads come as values, not in an expression: an expression may end up in an error message.
    start = pl.Series([inner + f"{domain}|".encode()], dtype=pl.Binary)
    first = _sha256(start + values.cast(pl.Binary))
    return _sha256(pl.Series([outer], dtype=pl.Binary) + _of_hex(first))


def _sha256(values: pl.Series) -> pl.Series:
    import polars as pl
    from polars_hash import CryptographicHashingNameSpace

    return values.to_frame("value").select(CryptographicHashingNameSpace(pl.col("value")).sha2_256()).to_series()


def _of_hex(digests: pl.Series) -> pl.Series:
    """The bytes that 64 hexadecimal digits a value stand for; no null."""
    import polars as pl
    import pyarrow as pa

    digits = digests.rechunk().to_arrow()
    start, width = digits.offset * 64, digests.len() * 64
    plain = pa.py_buffer(binascii.unhexlify(memoryview(digits.buffers()[2])[start : start + width]))
    return pl.Series(pl.from_arrow(pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), digests.len(), [None, plain])))


def _typed_case_no(text: pl.Expr) -> pl.Expr:
    """A case number typed by hand (quirk Q89): blanks and separators inside, letter O for zero, CASE in front.

    Only eight digits pass: an account (nine digits) or a record number (a letter and seven) is no case number.
    """
    plain = text.str.to_uppercase().str.replace_all(r"[^A-Z0-9]", "").str.replace(r"^CASE(?:N[O0])?", "")
    return plain.str.replace_all("O", "0", literal=True).str.extract(r"^(\d{8})$")


def _noted_case_no(text: pl.Expr) -> pl.Expr:
    found = text.str.to_uppercase().str.extract(r"\bCASE(?:\s*(?:NO|NUMBER))?[\s#:.=-]*([0-9O]{8})\b")
    return found.str.replace_all("O", "0", literal=True)


def _noted_lot(text: pl.Expr) -> pl.Expr:
    return text.str.to_uppercase().str.extract(
        r"\bLOT(?:\s*(?:NO|NUMBER))?[\s#:.=-]*([A-Z0-9-]{0,19}[0-9][A-Z0-9-]{0,19})\b"
    )


def _noted_serial(text: pl.Expr) -> pl.Expr:
    return text.str.to_uppercase().str.extract(
        r"\b(?:S/N|SN|SERIAL(?:\s*(?:NO|NUMBER))?)[\s#:.=-]*([A-Z0-9-]{0,29}[0-9][A-Z0-9-]{0,29})\b"
    )


PARSERS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "typed_case_no": _typed_case_no,
    "noted_case_no": _noted_case_no,
    "noted_lot": _noted_lot,
    "noted_serial": _noted_serial,
}
_FINDS_SERIALS = frozenset({"noted_serial"})
_FOUND_SERIAL = Token("serial", ("upper", "alnum"), show_last_four=True)
