-- One row for each order line with receipts that are not billed, by the age of the oldest such receipt.
-- Grain and key: po_line_key. unbilled_each and unbilled_amount are additive. Distribution: facility_id.
-- Evaluated receipts are in it until their invoice is made; consigned receipts never are.
with aged as (
    select
        po_line_key,
        facility_id,
        supplier_id,
        oldest_unbilled_receipt_date as oldest_receipt_date,
        {{ day_difference('oldest_unbilled_receipt_date', as_of_date()) }} as age_days,
        unbilled_each,
        unbilled_amount
    from {{ ref('rec_grni') }}
    where unbilled_each > 0 and coalesce(out_of_scope_reason, '') <> 'consigned'
)

select
    po_line_key,
    facility_id,
    supplier_id,
    oldest_receipt_date,
    cast(age_days as integer) as age_days,
    case
        when age_days <= 30 then '0-30'
        when age_days <= 60 then '31-60'
        when age_days <= 90 then '61-90'
        when age_days <= 120 then '91-120'
        else 'over 120'
    end as age_bucket,
    unbilled_each,
    unbilled_amount
from aged
