"""The acquired hospital (H8): its record as FHIR exports with their quirks, its billing, and that all is sound."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from ingest.clock import AsOf
from ingest.run import ingest
from ingest.simulator import build_world
from ingest.simulator.fhir_export import RESOURCES
from ingest.simulator.oracle import evaluate
from ingest.simulator.plan import QUIRK_SHARES
from tests.unit.simulator.clinical_world import delivered
from tests.unit.simulator.peers import accepted_resources, model_of, refusals

START, DAYS, SCALE = date(2026, 1, 21), 24, 0.1
NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A world without defects, in which rare quirks show often enough to be seen."""
    out = tmp_path_factory.mktemp("east")
    with pytest.MonkeyPatch.context() as patch:
        for quirk in ("Q35", "Q36", "Q38"):
            patch.setitem(QUIRK_SHARES, quirk, 0.12)
        world, _, _ = build_world(out, START, DAYS, SCALE, 3, defects=False, sites=["H8"])
    return world, out


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    world, _, _ = build_world(out, START, 9, 0.1, 4, defects=False, quirks=[], sites=["H8"])
    return world, out


def folders(out) -> list:
    return sorted(path for path in (out / "ehr_fhir").iterdir() if path.is_dir())


def manifest(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def lines(path) -> list[dict]:
    return [json.loads(line, parse_float=Decimal) for line in gzip.decompress(path.read_bytes()).splitlines()]


def exported(out, kind: str) -> Iterator[tuple[date, dict]]:
    """Every version of the resources of a kind with the date of its folder, in the order of delivery."""
    for folder in folders(out):
        for path in sorted(folder.glob(f"{kind}.*.ndjson.gz")):
            for resource in lines(path):
                yield date.fromisoformat(folder.name), resource


def case_of(resource: dict) -> str:
    return next(each["value"] for each in resource["identifier"] if each["system"] == "urn:shs:h8:case")


# -------------------------------------------------------------------------------------------------------------- exports


def test_every_resource_is_valid_fhir(sound):
    counts = accepted_resources(sound[1])
    assert all(counts.values()), counts
    assert sum(counts.values()) > 3000


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Procedure", {"status": "done"}),
        ("SupplyDelivery", {"occurrenceDateTime": "2026-02-01 08:00"}),
        ("SupplyDelivery", {"patient": {"reference": "Group/1"}}),
        ("Encounter", {"class": None}),
        ("ChargeItem", {"quantity": [{"value": 1}]}),
        ("Device", {"lot": "L1"}),
    ],
)
def test_the_peer_refuses_what_is_no_fhir(sound, kind, change):
    resource = {**next(each for _, each in exported(sound[1], kind)), **change}
    text = json.dumps({name: value for name, value in resource.items() if value is not None}, default=float)
    try:
        assert list(refusals(model_of(kind).model_validate_json(text)))
    except ValidationError as refusal:
        assert refusal.error_count() > 0


def test_a_manifest_lists_what_lies_beside_it_and_every_resource_every_day(sound):
    world, out = sound
    assert [folder.name for folder in folders(out)] == [
        f"{START + timedelta(days=number):%Y%m%d}" for number in range(DAYS)
    ]
    for folder in folders(out):
        says = manifest(folder)
        named = {each["url"].rpartition("/")[2] + ".gz": each for each in [*says["output"], *says["deleted"]]}
        assert set(named) == {path.name for path in folder.iterdir()} - {"manifest.json"}
        assert {each["type"] for each in says["output"]} == set(RESOURCES)
        for name, each in named.items():
            assert each["count"] == len(lines(folder / name))
    assert {file.extract for file in world.files if file.system == "ehr_fhir"} == set(RESOURCES)


def test_an_export_holds_what_the_server_changed_since_the_one_before(sound):
    for before, folder in pairwise(folders(sound[1])):
        since, until = manifest(before)["transactionTime"], manifest(folder)["transactionTime"]
        assert f"_since={since}" in manifest(folder)["request"]
        for path in folder.glob("[A-Z]*.ndjson.gz"):
            for resource in lines(path):
                assert since <= resource["meta"]["lastUpdated"] < until
    assert "_since" not in manifest(folders(sound[1])[0])["request"]


def test_clinical_moments_carry_the_hospitals_offset_and_server_times_are_utc(sound):
    for _, resource in exported(sound[1], "SupplyDelivery"):
        moment = datetime.fromisoformat(resource["occurrenceDateTime"])
        assert moment.utcoffset() == moment.astimezone(NEW_YORK).utcoffset()
        assert resource["meta"]["lastUpdated"].endswith("Z")
        assert datetime.fromisoformat(resource["meta"]["lastUpdated"]) > moment


def test_versions_of_a_resource_count_up(sound):
    for kind in RESOURCES:
        last: dict[str, tuple[int, str]] = {}
        for _, resource in exported(sound[1], kind):
            version = (int(resource["meta"]["versionId"]), resource["meta"]["lastUpdated"])
            assert version > last.get(resource["id"], (0, ""))
            last[resource["id"]] = version


def test_references_lead_to_resources_that_were_exported(sound):
    out = sound[1]
    known = {kind: {resource["id"] for _, resource in exported(out, kind)} for kind in RESOURCES}

    def check(value: object) -> None:
        if isinstance(value, dict):
            reference = value.get("reference")
            if isinstance(reference, str) and not reference.startswith("#"):
                kind, identity = reference.split("/")[-2:]
                assert kind in ("Organization", "Practitioner") or identity in known[kind]
            for each in value.values():
                check(each)
        elif isinstance(value, list):
            for each in value:
                check(each)

    for kind in RESOURCES:
        for _, resource in exported(out, kind):
            check(resource)


def test_the_readers_land_every_export_without_a_row_refused(sound, tmp_path):
    world, out = sound
    report = ingest(out, tmp_path / "home", AsOf.parse(world.end.isoformat()), "run", systems=["ehr_fhir"])
    counts = {each.feed.partition(".")[2]: each for each in report.extracts}
    for kind in RESOURCES:
        removed = 0
        if kind == "SupplyDelivery":
            removed = sum(len(each["entry"]) for folder in folders(out) for each in bundles(folder))
        assert counts[kind].rows_quarantined == 0
        assert counts[kind].files_refused == 0
        assert counts[kind].rows_landed == sum(1 for _ in exported(out, kind)) + removed
    assert counts["ProcedureDevice"].rows_landed == sum(
        len(resource.get("focalDevice", [])) for _, resource in exported(out, "Procedure")
    )


def bundles(folder) -> list[dict]:
    path = folder / "deleted.1.ndjson.gz"
    return lines(path) if path.exists() else []


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        build_world(tmp_path / name, START, 4, 0.1, 4, sites=["H8"])
    first = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.gz")}
    second = {path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*.gz")}
    assert first
    assert first == second


# --------------------------------------------------------------------------------------------------------------- quirks


def test_q33_some_devices_show_the_full_string_alone(sound, plain):
    devices = {resource["id"]: resource["udiCarrier"][0] for _, resource in exported(sound[1], "Device")}
    bare = [carrier for carrier in devices.values() if "deviceIdentifier" not in carrier]
    assert 0.02 < len(bare) / len(devices) < 0.16
    for carrier in devices.values():
        assert carrier["carrierHRF"]
        if carrier.get("issuer", "").endswith("gs1-di"):
            assert carrier["carrierHRF"].startswith(f"(01){carrier['deviceIdentifier']}")
    assert all("deviceIdentifier" in resource["udiCarrier"][0] for _, resource in exported(plain[1], "Device"))


def test_q34_a_device_is_referred_to_in_three_ways(sound, plain):
    forms: Counter[str] = Counter()
    for _, resource in exported(sound[1], "SupplyDelivery"):
        reference = resource["suppliedItem"].get("itemReference", {}).get("reference")
        if reference is None:
            assert "contained" not in resource
            continue
        form = "contained" if reference[0] == "#" else "absolute" if reference.startswith("https://") else "relative"
        forms[form] += 1
        assert [each["id"] for each in resource.get("contained", [])] == (
            [reference[1:]] if reference[0] == "#" else []
        )
    assert min(forms[form] for form in ("relative", "absolute", "contained")) > 5
    for _, resource in exported(plain[1], "SupplyDelivery"):
        reference = resource["suppliedItem"].get("itemReference", {}).get("reference", "Device/")
        assert reference.startswith("Device/")


def test_q35_old_cases_come_back_after_edits_with_nothing_new_in_them(sound, plain):
    versions: dict[str, list[tuple[date, dict]]] = defaultdict(list)
    for folder, resource in exported(sound[1], "SupplyDelivery"):
        versions[resource["id"]].append((folder, resource))
    again = [rows for rows in versions.values() if len(rows) > 1 and rows[-1][1]["status"] != "entered-in-error"]
    assert any(rows[-1][0] - rows[0][0] > timedelta(days=3) for rows in again)
    for rows in again:
        assert {json.dumps({**row, "meta": None}, default=str) for _, row in rows} == {
            json.dumps({**rows[0][1], "meta": None}, default=str)
        }
    ids = [resource["id"] for _, resource in exported(plain[1], "SupplyDelivery")]
    assert len(ids) == len(set(ids))


def test_q36_lines_that_were_counted_are_marked_as_errors_or_deleted(sound, plain):
    world, out = sound
    voided = {case.log_id for case in world.cases if case.status == 4}
    errors = {
        resource["id"]
        for _, resource in exported(out, "SupplyDelivery")
        if resource["status"] == "entered-in-error" and case_of(resource) not in voided
    }
    deleted = {
        entry["request"]["url"].removeprefix("SupplyDelivery/")
        for folder in folders(out)
        for bundle in bundles(folder)
        for entry in bundle["entry"]
    }
    assert errors
    assert deleted
    last = {line.usage_id: line for line in world.usage}
    first = {line.usage_id: line for line in reversed(world.usage)}
    for identity in errors | deleted:
        assert first[identity].used_each == 1
        assert last[identity].used_each == 0
        assert last[identity].known_at - first[identity].known_at > timedelta(days=5)
    assert not any(bundles(folder) for folder in folders(plain[1]))


def test_q37_several_procedures_share_a_case_and_its_devices_are_told_once(sound, plain):
    cases: dict[str, dict[str, dict]] = defaultdict(dict)
    for _, resource in exported(sound[1], "Procedure"):
        cases[case_of(resource)][resource["id"]] = resource
    several = [acts for acts in cases.values() if len(acts) > 1]
    assert 0.15 < len(several) / len(cases) < 0.35
    for acts in cases.values():
        devices = [each["manipulated"]["reference"] for act in acts.values() for each in act.get("focalDevice", [])]
        assert len(devices) == len(set(devices))
    plainly = Counter(case_of(resource) for _, resource in exported(plain[1], "Procedure"))
    assert set(plainly.values()) == {1}


def test_q38_some_accounts_come_with_a_later_export_and_before_a_missed_charge_could_be_told(sound, plain):
    stays: dict[str, list[tuple[date, bool]]] = defaultdict(list)
    for folder, resource in exported(sound[1], "Encounter"):
        has_account = any(each["system"] == "urn:shs:har" for each in resource["identifier"])
        stays[resource["id"]].append((folder, has_account))
    late = [rows for rows in stays.values() if not rows[0][1]]
    assert 0.04 < len(late) / len(stays) < 0.25
    finished = [rows for rows in late if rows[0][0] < START + timedelta(days=DAYS - 4)]
    assert finished
    for rows in finished:
        first = next(folder for folder, has_account in rows if has_account)
        assert timedelta(days=1) <= first - rows[0][0] <= timedelta(days=2)
    for _, resource in exported(plain[1], "Encounter"):
        assert any(each["system"] == "urn:shs:har" for each in resource["identifier"])


def test_q39_an_export_is_split_anew_and_one_part_is_empty(sound, plain):
    splits = []
    for folder in folders(sound[1]):
        counts = Counter(each["type"] for each in manifest(folder)["output"])
        splits.append(tuple(counts[kind] for kind in RESOURCES))
        several = [each for each in manifest(folder)["output"] if counts[each["type"]] > 1 and each["count"] == 0]
        assert len(several) == 1
    assert len(set(splits)) > DAYS // 2
    for folder in folders(plain[1]):
        assert len(manifest(folder)["output"]) == len(RESOURCES)


def test_q44_charges_name_no_log_supply_or_implant(sound):
    _, out = sound
    charged = [row for row in delivered(out, "hb", "HSP_TRANSACTIONS") if row["TX_TYPE_HA_C"] == "1"]
    assert len(charged) > 300
    assert {(row["SUP_ID"], row["IMPLANT_ID"], row["OPTIME_LOG_ID"]) for row in charged} == {("", "", "")}
    waiting = list(delivered(out, "hb", "HSP_PRE_AR_TX"))
    assert waiting
    assert {(row["SUP_ID"], row["LOG_ID"]) for row in waiting} == {("", "")}
    assert not list(delivered(out, "hb", "CLARITY_UCL"))
    assert not list(delivered(out, "hb", "PRE_AR_CHG"))


def test_q46_some_charges_are_filed_past_midnight_of_the_hospital_and_before_that_of_the_server(sound, plain):
    def filed(out):
        return {
            (datetime.fromisoformat(row["TX_FILED_TIME"]).replace(tzinfo=CHICAGO), row["TX_POST_DATE"][:10])
            for row in delivered(out, "hb", "HSP_TRANSACTIONS")
            if row["OLD_HSP_ACCOUNT_ID"] == ""
        }

    late = [moment for moment, _ in filed(sound[1]) if moment.astimezone(NEW_YORK).hour == 0]
    assert late
    for moment, posted in filed(sound[1]):
        assert f"{moment:%Y-%m-%d}" == posted
    for moment in late:
        assert moment.astimezone(NEW_YORK).date() == moment.date() + timedelta(days=1)
    assert all(moment.astimezone(NEW_YORK).hour == 23 for moment, _ in filed(plain[1]))


def test_q90_rows_after_midnight_carry_the_servers_day_before(sound, plain):
    def rows(out):
        return [
            (date.fromisoformat(f"{row['TRANS_DATE'][:4]}-{row['TRANS_DATE'][4:6]}-{row['TRANS_DATE'][6:8]}"), row)
            for row in delivered(out, "erp_lawson", "ICTRANS")
            if row["COMPANY"].strip() == "1008"
        ]

    def before(out):
        return [row for day, row in rows(out) if row["UPDATE_DATE"][:8] == f"{day - timedelta(days=1):%Y%m%d}"]

    assert before(sound[1])
    assert not before(plain[1])


# -------------------------------------------------------------------------------------------------- cases and billing


def test_no_rule_fires_at_the_acquired_hospital_without_defects(sound):
    world, _ = sound
    assert len({case.log_id for case in world.cases}) > 50
    assert [finding for finding in evaluate(world) if not finding.near_miss] == []


def test_cases_go_by_their_fhir_number_and_stand_in_no_other_record(sound):
    world, out = sound
    assert all(case.log_id == case.case_id for case in world.cases)
    assert {case.log_id for case in world.cases if case.posted_at and case.posted_at[0].date() < world.end} <= {
        case_of(resource) for _, resource in exported(out, "Procedure") if resource["status"] == "completed"
    }
    for extract in ("OR_CASE", "OR_LOG", "OR_PKLST_SUP_LIST", "OR_IMP", "PAT_ENC_HSP", "OR_LOG_AUDIT_TRAIL"):
        assert not list(delivered(out, "ehr", extract))
    assert list(delivered(out, "ehr", "PATIENT"))
    assert not (out / "ehr_hl7").exists()
    assert not (out / "pou").exists()


def test_every_account_of_the_hospital_has_its_encounter(sound):
    world, out = sound
    shown: dict[str, dict] = {}
    for _, resource in exported(out, "Encounter"):
        for each in resource["identifier"]:
            if each["system"] == "urn:shs:har":
                shown[each["value"]] = resource
    known = {row["HSP_ACCOUNT_ID"]: row for row in delivered(out, "hb", "HSP_ACCOUNT")}
    combined = {row["COMBINE_ACCT_ID"] for row in known.values()}
    early = f"{world.end - timedelta(days=4)}"
    for account, row in known.items():
        is_second = account in combined or 650_000_000 <= int(account) < 700_000_000
        if not is_second and row["ADM_DATE_TIME"] < early:
            assert account in shown
    classes = {"1": "IMP", "2": "AMB", "3": "EMER"}
    alike = [
        shown[name]["class"]["code"] == classes[row["ACCT_BASECLS_HA_C"]]
        for name, row in known.items()
        if name in shown
    ]
    assert len(alike) > 300
    assert all(alike)


def test_a_case_is_posted_when_its_procedures_are_completed_first(sound):
    world, out = sound
    first: dict[str, datetime] = {}
    for _, resource in exported(out, "Procedure"):
        if resource["status"] == "completed":
            moment = datetime.fromisoformat(resource["meta"]["lastUpdated"])
            first[case_of(resource)] = min(moment, first.get(case_of(resource), moment))
    for case in world.cases:
        if case.posted_at and case.log_id in first:
            assert len(case.posted_at) == 1
            assert abs(first[case.log_id] - case.posted_at[0].astimezone(UTC)) < timedelta(seconds=2)


def test_usage_lines_name_items_of_the_second_database_and_implants_their_device(sound):
    world, out = sound
    numbers = {item.mmis_east_no for item in world.items.values()}
    devices = {resource["id"] for _, resource in exported(out, "Device")}
    lines_of = {line.usage_id: line for line in world.usage}
    for _, resource in exported(out, "SupplyDelivery"):
        line = lines_of[resource["id"]]
        supplied = resource["suppliedItem"]
        if "itemReference" in supplied:
            assert supplied["itemReference"]["reference"].rpartition("/")[2].lstrip("#") == line.implant_id
            assert line.implant_id in devices
            assert line.supply_id is None
        else:
            codes = {each["system"]: each["code"] for each in supplied["itemCodeableConcept"]["coding"]}
            assert codes["urn:shs:mmis-item"] == line.supply_id
            assert line.supply_id in numbers
        assert supplied["quantity"]["value"] > 0
        assert (resource["status"] == "abandoned") == (line.action == "wasted") or resource["status"][0] == "e"


def test_charges_post_within_the_days_of_their_class(sound):
    world, _ = sound
    documented = defaultdict(set)
    for line in world.usage:
        documented[line.log_id].add(line.known_at)
    posted = {
        case.account: case.posted_at[0].date()
        for case in world.cases
        if case.posted_at and len(documented[case.log_id]) == 1  # no addendum
    }
    lags: dict[int, set[int]] = defaultdict(set)
    for row in world.charges:
        original = row.tx_type == 1 and not (row.reverses or row.reposts or row.old_account)
        if original and row.account in posted and (row.revenue_code or "").startswith("027"):
            late = (row.post_date - row.service_date).days
            assert late <= (5 if row.base_class == 1 else 3)
            lags[row.base_class].add((row.post_date - posted[row.account]).days)
    assert {1, 2, 3} <= lags[1]
    assert lags[1] <= {0, 1, 2, 3, 4, 5}
    assert lags[2] <= {0, 1, 2, 3}


def test_a_trigger_stands_behind_every_charge_of_usage(sound):
    world, out = sound
    triggered = {
        resource["service"][0]["reference"].rpartition("/")[2]
        for _, resource in exported(out, "ChargeItem")
        if "service" in resource
    }
    assert triggered <= {line.usage_id for line in world.usage} | {f"{line.usage_id}w" for line in world.usage}
    codes = Counter()
    for _, resource in exported(out, "ChargeItem"):
        codes[resource["code"]["coding"][0]["code"]] += 1
    charged = {row.charge_code for row in world.charges if row.tx_type == 1 and row.charge_code != "1100001"}
    assert charged <= set(codes)


def test_the_ledger_of_the_acquired_hospital_carries_its_billing_to_the_cent(sound):
    world, out = sound
    billed = {row["TX_ID"]: Decimal(row["TX_AMOUNT"]) for row in delivered(out, "hb", "HSP_TRANSACTIONS")}
    booked = [
        (posting.amount if posting.debit_role == "PATIENT_AR" else -posting.amount, posting)
        for posting in world.postings
        if "PATIENT_AR" in (posting.debit_role, posting.credit_role)
    ]
    assert {world.sites[posting.site].company for _, posting in booked} == {1008}
    assert {posting.event for _, posting in booked} == {"E18", "E19", "E19a"}
    assert sum(amount for amount, posting in booked if posting.posting_date < world.end) == sum(billed.values())
    journals = [line for line in world.journal_lines if line.role == "PATIENT_AR" and line.balancing_segment == "1008"]
    assert sum(line.debit - line.credit for line in journals) == sum(amount for amount, _ in booked)
