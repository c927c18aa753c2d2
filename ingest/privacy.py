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

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.contract import Column, Extract, Token

if TYPE_CHECKING:
    import polars as pl

_KEY_BYTES = 32
_TOKEN_LENGTH = 32
# Below this, two calls of the standard library are faster than a database connection; STACK has the measurements
# above it.
_FEW = 2_000


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
            _write_private(path, secrets.token_hex(_KEY_BYTES))
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
    columns: list[pl.Series] = []
    for column in extract.columns.values():
        columns.extend(landed_series(column, rows[column.name], key) if not column.drop else ())
    return rows.select(kept).with_columns(columns).select(*extract.landed_columns, *kept)


def landed_series(column: Column, values: pl.Series, key: TokenKey) -> list[pl.Series]:
    """What one delivered column becomes."""
    import polars as pl

    frame = values.alias("value").to_frame()
    value = pl.col("value")
    landed: list[pl.Series] = []
    if column.lands:
        if column.token is not None:
            landed.append(tokens(values, column.token, key).alias(column.name))
        elif column.lands_if is not None:
            form = pl.when(value.str.contains(column.lands_if)).then(value)
            landed.append(frame.select(form.alias(column.name)).to_series())
        else:
            landed.append(values)
    for name, pattern in column.flags.items():
        flag = pl.when(value.str.contains(pattern)).then(pl.lit("Y")).otherwise(pl.lit("N"))
        landed.append(frame.select(flag.alias(f"{column.name}__{name}")).to_series())
    for name, parser in (column.parse or {}).items():
        found = frame.select(PARSERS[parser](value)).to_series()
        if parser in _FINDS_SERIALS:
            found = tokens(found, Token("serial", ("upper", "alnum"), show_last_four=True), key)
        landed.append(found.alias(f"{column.name}__{name}"))
    return landed


def tokens(values: pl.Series, token: Token, key: TokenKey) -> pl.Series:
    """Tokens of a column's values; null stays null, and so does a value that normalises to nothing."""
    import polars as pl

    normalised = values.alias("normal").to_frame().select(normal_form(token.normalise))
    distinct = normalised.unique().drop_nulls()
    made = distinct.with_columns(token=_hmac(distinct["normal"], token.domain, key))
    if token.show_last_four:
        made = made.with_columns(token=pl.col("normal").str.tail(4) + "~" + pl.col("token"))
    return normalised.join(made, on="normal", how="left", maintain_order="left")["token"].alias(values.name)


def normal_form(steps: Sequence[str]) -> pl.Expr:
    """The steps of `normalise`, as an expression over the column `normal`."""
    import polars as pl

    value = pl.col("normal")
    for step in steps:
        value = _STEPS[step](value)
    return pl.when(value != "").then(value).alias("normal")


_STEPS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "trim": lambda value: value.str.strip_chars(),
    "upper": lambda value: value.str.to_uppercase(),
    "alnum": lambda value: value.str.replace_all(r"[^A-Za-z0-9]", ""),
    "strip_zeros": lambda value: value.str.replace(r"^0+([^0].*)$", "${1}"),
}


def _hmac(normalised: pl.Series, domain: str, key: TokenKey) -> pl.Series:
    import polars as pl

    if normalised.len() < _FEW:
        return pl.Series([key.token(domain, text) for text in normalised], dtype=pl.String)
    import duckdb

    block = key.secret.ljust(64, b"\0")
    inner, outer = bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
    with duckdb.connect() as connection:
        # The pads come as parameters into a table: SQL text may end up in an error message.
        connection.execute("create table pad (inner_pad blob, outer_pad blob)")
        connection.execute("insert into pad values (?, ?)", [inner, outer])
        connection.register("said", pl.DataFrame({"message": f"{domain}|" + normalised}).to_arrow())
        made = connection.sql(
            "select 't_' || left(sha256(outer_pad || unhex(sha256(inner_pad || encode(message)))), 32) as token"
            " from said, pad"
        ).to_arrow_table()
    return pl.Series(pl.from_arrow(made)["token"])  # type: ignore[index]


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
