"""Marts become judgement: which differences are acceptable, who owns those that are not, what is published.

Here: rules and tolerances, the exception ledger, control totals and their Data Docs, scoring, publishing.
Not here: how two sides are compared (dbt_project), what runs when (orchestration). Imports neither dagster nor dbt.
"""
