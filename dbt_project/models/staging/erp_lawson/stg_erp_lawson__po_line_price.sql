-- Every price a legacy order line had, in the order of delivery. A nightly folder tells what was true at the end of the day
-- before, so valid_from is the day before the folder; the first price is taken to hold from the order on.
with versions as (
    select
        {{ supply_lawson_po() }} as po_number,
        try_cast(LINE_NBR as bigint) as line_number,
        {{ to_decimal('ENT_UNIT_CST', 18, 5) }} as unit_price,
        coalesce(nullif({{ to_decimal('EBUY_UOM_MULT', 18, 8) }}, 0), 1) as unit_factor,
        {{ add_days('_folder_date', -1) }} as valid_from,
        _delivered,
        _file,
        _line
    from {{ source('raw_erp_lawson', 'POLINE') }}
    where _op = 'U'
),

changes as (
    select
        *,
        lag(unit_price) over (partition by po_number, line_number order by _delivered, _file, _line) as previous_price,
        lag(unit_factor) over (partition by po_number, line_number order by _delivered, _file, _line) as previous_factor
    from versions
)

select
    po_number,
    line_number,
    row_number() over (partition by po_number, line_number order by _delivered, _file, _line) as price_version,
    unit_price,
    unit_factor,
    valid_from
from changes
where unit_price is distinct from previous_price or unit_factor is distinct from previous_factor
