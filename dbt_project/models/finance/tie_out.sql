-- One row for each facility, control role and month: does the subledger tie to the ledger.
-- Grain: facility_id, control_role, fiscal_period. Key: tie_out_key. Balances are as of the end of the month, not additive over
-- months; explained_amount and unexplained_amount are what arose in it. Distribution: facility_id.
select
    tie_out_key,
    facility_id,
    control_role,
    fiscal_period,
    subledger_amount,
    ledger_amount,
    carried_difference_amount,
    explained_amount,
    unexplained_amount
from {{ ref('rec_tie_out') }}
