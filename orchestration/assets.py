"""The assets: ten systems landed, two dbt calls with a judgement between them, control totals, a snapshot.

Here: the steps of a run, each a few lines over what ingest, dbt and quality do.
Not here: that work (steps), how dbt nodes become assets (dbt), check specs (checks), what makes a run (jobs).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from orchestration import steps
from orchestration.checks import (
    CONTROL_TOTALS_KEY,
    EXCEPTIONS_KEY,
    SNAPSHOT_KEY,
    audit_check_specs,
    audit_results,
    rule_check_specs,
    rule_results,
)
from orchestration.dbt import (
    FINANCE_CALL,
    OWNERS,
    WAREHOUSE_CALL,
    DbtCall,
    WarehouseTranslator,
    build_arguments,
    failures_of,
    reuse_parse,
)
from orchestration.journal import HomeIsBusy, NoLanding
from orchestration.progress import reporter, timed
from orchestration.resources import RunScope, WarehouseDbt
from orchestration.settings import WAREHOUSE_POOL, adopt_environment, dbt_environment

SYSTEMS: Mapping[str, str] = {
    "ehr": "Clinical EHR: cases, logs, pick lists, implants, supply items",
    "ehr_hl7": "Clinical EHR messages: charges, appointments, encounters, item master",
    "ehr_fhir": "Clinical EHR of the acquired hospital: encounters, procedures, devices, supplies, charges",
    "hb": "Hospital billing: accounts, transactions, charges on their way, prices, remittances",
    "pou": "Point of use: stock movements, balances, counts, items",
    "mmis": "Legacy materials management: items, vendors, packages, locations, stock movements",
    "erp_lawson": "Legacy ERP: items, orders, receipts, invoices, payments, ledger",
    "erp_fusion": "Cloud ERP: items, orders, receipts, invoices, payments, inventory, ledger",
    "edi": "Supplier EDI: orders, acknowledgements, ship notices, invoices, catalogs",
    "ref": "Reference data: facilities, calendars, crosswalks, contracts, device identifiers",
}
BATCH_LEDGER_KEY = dg.AssetKey(["raw", "meta"])


def build_assets(manifest: Mapping[str, Any]) -> list[dg.AssetsDefinition]:
    """Every asset of Suture, the dbt models as `manifest` lists them."""
    translator = WarehouseTranslator()
    warehouse = dbt_call_assets(manifest, WAREHOUSE_CALL, translator)
    finance = dbt_call_assets(manifest, FINANCE_CALL, translator)
    compared = sorted(key for key in warehouse.keys if key.path[0] == "recon")
    return [
        ingest_assets(),
        warehouse,
        exceptions_asset([*compared, BATCH_LEDGER_KEY]),
        finance,
        control_totals_asset([*sorted(finance.keys), EXCEPTIONS_KEY]),
        snapshot_asset(),
    ]


def _failure(exit_code: int, reason: str) -> dg.Failure:
    """A failure whose meaning the command line can tell."""
    return dg.Failure(reason, metadata={"exit_code": exit_code}, allow_retries=False)


def ingest_assets() -> dg.AssetsDefinition:
    """The landed extracts, one asset a system, and the batch ledger: one step, which begins the run."""
    specs = [
        dg.AssetSpec(["raw", system], description=title, group_name="raw", owners=[OWNERS["raw"]], kinds={"parquet"})
        for system, title in SYSTEMS.items()
    ]
    batch_ledger = dg.AssetSpec(
        BATCH_LEDGER_KEY,
        description="Batch ledger: what became of every delivery",
        group_name="raw",
        owners=[OWNERS["raw"]],
        kinds={"parquet"},
    )

    @dg.multi_asset(name="ingest", specs=[*specs, batch_ledger])
    def ingest(context: dg.AssetExecutionContext, scope: RunScope) -> Iterator[dg.MaterializeResult]:
        try:
            run = scope.resolve(context.run_id)
            steps.begin(run)
        except (steps.Refused, NoLanding, ValueError) as error:
            raise _failure(2, str(error)) from error
        except HomeIsBusy as error:
            raise _failure(1, str(error)) from error
        counts = steps.ingest_deliveries(run, list(SYSTEMS))
        for system in SYSTEMS:
            rows = counts.get(system, {})
            yield dg.MaterializeResult(
                asset_key=["raw", system],
                metadata={f"rows_{name}": rows.get(name, 0) for name in steps.ROW_COUNTS},
            )
        yield dg.MaterializeResult(asset_key=BATCH_LEDGER_KEY, metadata={"as_of": str(run.as_of)})

    return ingest


def dbt_call_assets(manifest: Mapping[str, Any], call: DbtCall, translator: WarehouseTranslator) -> dg.AssetsDefinition:
    """The models of one dbt call. A broken build stops the run; what is served stays."""

    @dbt_assets(
        manifest=manifest,
        name=f"{call.name}_models",
        select=call.select,
        exclude=call.exclude,
        dagster_dbt_translator=translator,
        pool=WAREHOUSE_POOL,
    )
    def models(context: dg.AssetExecutionContext, scope: RunScope, dbt: WarehouseDbt) -> Iterator[Any]:
        run = scope.of_run(context.run_id)
        adopt_environment(dbt_environment(run.settings, run.run_id))
        target = run.work / f"dbt_{call.name}"
        reuse_parse(run.work, target)
        with timed(f"dbt {call.name}", call.title) as outcome:
            invocation = dbt.cli(
                build_arguments(steps.dbt_as_of(run.as_of)), context=context, target_path=target, raise_on_error=False
            )
            built = 0
            for event in invocation.stream():
                if isinstance(event, dg.Output):
                    built += 1
                    reporter().advance(f"dbt {call.name}", event.output_name, built, len(context.selected_output_names))
                yield event
            failed = [] if invocation.is_successful() else failures_of(target)
            outcome.append(f"{built} models built" if not failed else f"{len(failed)} nodes failed")
        if not invocation.is_successful():
            raise _failure(4, f"dbt could not build the {call.name} models: " + "; ".join(failed))

    return models


def exceptions_asset(deps: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """What fires now: the judgement between the two dbt calls."""

    @dg.asset(
        key=EXCEPTIONS_KEY,
        deps=deps,
        group_name="quality",
        owners=[OWNERS["quality"]],
        kinds={"pandera", "greatexpectations", "duckdb"},
        description="Every break as an exception with an owner, a sum of money and its evidence",
        check_specs=rule_check_specs(),
        pool=WAREHOUSE_POOL,
    )
    def exceptions(context: dg.AssetExecutionContext, scope: RunScope) -> Iterator[Any]:
        judgement = steps.judge_relations(scope.of_run(context.run_id))
        yield dg.MaterializeResult(
            metadata={
                "open": judgement.open_count,
                "timing": sum(judgement.timing_by_rule.values()),
                "by_queue": dict(judgement.by_queue),
                "rule_version": judgement.rule_version,
                "tolerance_version": judgement.tolerance_version,
            }
        )
        yield from rule_results(judgement)

    return exceptions


def control_totals_asset(deps: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """Rows, quantities and dollars at every hop."""

    @dg.asset(
        key=CONTROL_TOTALS_KEY,
        deps=deps,
        group_name="quality",
        owners=[OWNERS["quality"]],
        kinds={"duckdb"},
        description="Rows, quantities and dollars at every hop: they must add up",
        pool=WAREHOUSE_POOL,
    )
    def control_totals(context: dg.AssetExecutionContext, scope: RunScope) -> dg.MaterializeResult:
        rows = steps.build_control_totals(scope.of_run(context.run_id))
        return dg.MaterializeResult(metadata={"dagster/row_count": rows})

    return control_totals


def snapshot_asset() -> dg.AssetsDefinition:
    """The snapshot that people read: a candidate, its audit, the switch."""

    @dg.asset(
        key=SNAPSHOT_KEY,
        deps=[CONTROL_TOTALS_KEY],
        group_name="published",
        owners=[OWNERS["published"]],
        kinds={"duckdb"},
        description="The published snapshot: audited, immutable, switched to atomically",
        check_specs=audit_check_specs(),
        pool=WAREHOUSE_POOL,
    )
    def snapshot(context: dg.AssetExecutionContext, scope: RunScope) -> Iterator[Any]:
        from quality.publish import AuditFailed

        run = scope.of_run(context.run_id)
        try:
            published = steps.publish_build(run)
        except AuditFailed as failed:
            yield from audit_results(failed.findings)
            raise _failure(4, f"the audit failed, the previous snapshot is still served: {failed}") from failed
        yield dg.MaterializeResult(
            metadata={
                "snapshot_id": published.snapshot_id,
                "is_new": published.is_new,
                "tables": len(published.manifest["tables"]),
                "rows": sum(entry["rows"] for entry in published.manifest["tables"].values()),
            }
        )
        yield from audit_results(published.findings)

    return snapshot
