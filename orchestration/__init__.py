"""What runs, when and on what: the only room of Suture that imports Dagster.

Here: settings, resources, one file a Dagster noun (assets, checks, jobs, schedules), and the `suture` command.
Not here: reading deliveries (ingest), SQL (dbt_project), judgement and publishing (quality).
"""
