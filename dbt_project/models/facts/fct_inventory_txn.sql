-- One row for each movement of the point-of-use system, also counts and door openings.
-- Grain and key: inventory_txn_key (txn_id). quantity_each is signed, plus into the location. Balances and sums leave COUNT
-- (absolute, Q53) and NULL_TXN out: is_movement. case_typed is what was typed at the cabinet; case_id the log that it means: a
-- case number, else a log number written in its place (Q58). An ISSUE and the RESTOCK of the same document are halves of one
-- transfer (Q57): is_transfer_half. Distribution: facility_id, item_key.
with case_numbers as (
    select case_no as typed, case_id
    from {{ ref('dim_case') }}
    where case_no is not null
    qualify row_number() over (partition by case_no order by surgery_date desc nulls last, case_id desc) = 1
),
restocked as (
    select distinct pou_site, reference_document, item_no
    from {{ ref('stg_pou__txn') }}
    where movement = 'RESTOCK'
        and reference_document <> ''
),
test_numbers as (
    select distinct record_id
    from {{ ref('stg_ehr__test_record') }}
    where record_type in ('case', 'log')
)
select
    {{ surrogate_key(["'pou'", 'txn.txn_id']) }} as inventory_txn_key,
    txn.txn_id,
    site.facility_id,
    location.location_id,
    txn.location_code,
    location.is_perpetual,
    coalesce(location.is_asset, false) as is_asset,
    txn.item_no as inventory_item,
    case when xref.is_accepted then xref.item_key end as item_key,
    txn.movement,
    txn.movement not in ('COUNT', 'NULL_TXN') as is_movement,
    txn.movement = 'ISSUE' and restocked.item_no is not null as is_transfer_half,
    txn.owner_type,
    nullif(txn.case_typed, '') as case_typed,
    coalesce(case_numbers.case_id, log_numbers.case_id) as case_id,
    test_numbers.record_id is not null as is_test_case,
    txn.quantity_each,
    cast(
        case
            when coalesce(cost_unit.uom, txn.cost_uom, 'EA') = 'EA' then txn.unit_cost
            else {{ divide_decimal('txn.unit_cost', 'package.quantity_each', 5) }}
        end as decimal(18, 5)
    ) as unit_cost,
    {{ gs1_date('txn.expiry_text') }} as expiry_date,
    txn.lot_number,
    txn.serial_token,
    nullif(txn.reference_document, '') as reference_document,
    cast(txn.moved_at as date) as business_date,
    txn.moved_at as txn_at,
    txn.posted_at,
    'pou' as source_system,
    'txn' as source_extract,
    txn.txn_id as source_key,
    txn.source_file,
    txn.source_line
from {{ ref('stg_pou__txn') }} as txn
left join {{ ref('bridge_facility_code') }} as site
    on site.source_system = 'pou'
    and site.id_type = 'SITE'
    and txn.pou_site = site.source_id
    and {{ in_force('cast(txn.moved_at as date)', 'site.valid_from', 'site.valid_to') }}
left join {{ ref('bridge_location_xref') }} as place
    on place.source_system = 'pou'
    and txn.pou_site = place.scope
    and txn.location_code = place.source_location
    and {{ in_force('cast(txn.moved_at as date)', 'place.valid_from', 'place.valid_to') }}
left join {{ ref('dim_location') }} as location
    on place.location_id = location.location_id
left join {{ ref('bridge_item_xref') }} as xref
    on xref.source_system = 'pou'
    and txn.item_no = xref.source_item_no
left join {{ ref('bridge_uom_code') }} as cost_unit
    on cost_unit.source_system = 'pou'
    and txn.cost_uom = cost_unit.source_uom
left join {{ ref('dim_item_package') }} as package
    on package.source_system = 'pou'
    and xref.item_key = package.item_key
    and coalesce(cost_unit.uom, txn.cost_uom) = package.uom
left join case_numbers
    on txn.case_typed = case_numbers.typed
left join {{ ref('dim_case') }} as log_numbers
    on txn.case_typed = log_numbers.case_id
left join restocked
    on txn.pou_site = restocked.pou_site
    and txn.reference_document = restocked.reference_document
    and txn.item_no = restocked.item_no
left join test_numbers
    on txn.case_typed = test_numbers.record_id
