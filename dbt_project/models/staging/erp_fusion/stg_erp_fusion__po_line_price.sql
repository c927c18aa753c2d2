-- Every price a cloud order line had, by the moment of its change (UTC); the first price is taken to hold from the order on.
with versions as (
    select
        try_cast(PoLineId as bigint) as po_line_id,
        nullif(trim(UomCode), '') as uom,
        {{ to_decimal('UnitPrice', 18, 5) }} as unit_price,
        {{ to_timestamp_text('LastUpdateDate') }} as valid_from_at,
        _delivered,
        _file,
        _line
    from {{ source('raw_erp_fusion', 'PO_LINES') }}
    where _op = 'U'
),

changes as (
    select
        *,
        lag(unit_price) over (partition by po_line_id order by valid_from_at, _delivered, _file, _line) as previous_price,
        lag(uom) over (partition by po_line_id order by valid_from_at, _delivered, _file, _line) as previous_uom
    from versions
)

select
    po_line_id,
    row_number() over (partition by po_line_id order by valid_from_at, _delivered, _file, _line) as price_version,
    uom,
    unit_price,
    valid_from_at
from changes
where unit_price is distinct from previous_price or uom is distinct from previous_uom
