"""Deliveries become raw batches: the first hop of the warehouse.

Here: transports fetch, formats read, the contract judges the shape of rows, privacy drops and tokenises, landing
writes Parquet, the batch ledger remembers every attempt.
Not here: what a row means (dbt_project), whether a difference is acceptable (quality), what runs when (orchestration).
"""
