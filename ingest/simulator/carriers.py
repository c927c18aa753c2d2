"""What the carrier of a device says: GS1 element strings, joined HIBC structures, ISBT 128 data structures.

Here: the identifier of a piece with its lot, serial number and expiry as the three issuing bodies write them.
Not here: which form an item has (masters), who reads it and what is lost on the way (stock, messages, bedside).

An expiry is yyMMdd as text; day 00 is the last day of its month.
"""

from __future__ import annotations

from datetime import date

from ingest.simulator.item_flaws import hibc_check

FNC1 = "\x1d"
_DIVISION = "000025"


def gs1_scanned(gtin: str, expiry: str | None, lot: str | None, serial: str | None) -> str:
    """Element string of a bar code; FNC1 ends a value of variable length that is not the last (GS1 7.8.4)."""
    text = f"01{gtin}" + (f"17{expiry}" if expiry else "") + (f"10{lot}" if lot else "")
    return text + (f"{FNC1 if lot else ''}21{serial}" if serial else "")


def gs1_printed(gtin: str, expiry: str | None, lot: str | None, serial: str | None) -> str:
    """The human readable form, application identifiers in parentheses."""
    parts = (("01", gtin), ("17", expiry), ("10", lot), ("21", serial))
    return "".join(f"({code}){value}" for code, value in parts if value)


def hibc_joined(primary: str, expiry: str | None, lot: str | None, serial: str | None) -> str:
    """Primary and secondary structure in one; its own check character takes the place of the primary's.

    (ANSI/HIBC 2.6, 2.3.3; `$$` MMYY, `$$3` YYMMDD, `$$7` without a date, `$$+` for a serial number.)
    """
    text = primary[:-1]
    dated = "7"
    if expiry is not None:
        dated = f"{expiry[2:4]}{expiry[:2]}" if expiry.endswith("00") else f"3{expiry}"
    if lot or (expiry is not None and not serial):
        text += f"/$${dated}{lot or ''}" + (f"/S{serial}" if serial else "")
    elif serial:
        text += f"/$$+{dated}{serial}"
    return text + hibc_check(text)


def tissue_identifier(key: int) -> str:
    """Device identifier of a tissue: facility, its product code, product description code (ISBT 128 ST-001 DS034)."""
    return f"A9999{key:06d}T0479"


def isbt_128(key: int, expiry: date | None, lot: str | None) -> str:
    """Identifier, division, expiry and lot of a tissue, each a data structure of one length."""
    dated = f"=>0{expiry:%y%j}" if expiry else ""
    return f"{tissue_record(key)}{dated}" + (f"&,1{lot:0>18}" if lot else "")


def tissue_record(key: int) -> str:
    """Identifier and division, as a record keeps them."""
    return f"=/{tissue_identifier(key)}=,{_DIVISION}"
