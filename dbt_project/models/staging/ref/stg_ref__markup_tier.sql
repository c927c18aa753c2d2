-- One row for each cost tier of a mark-up table and validity.
-- Grain and key: table_id, cost_from, valid_from. Latest version as of the run.
select
    table_id as table_id,
    site as facility_id,
    {{ to_decimal("cost_from", scale=5) }} as cost_from,
    {{ to_decimal("cost_to", scale=5) }} as cost_to,
    {{ to_decimal("multiplier", precision=9) }} as multiplier,
    {{ to_decimal("floor_price", scale=5) }} as floor_price,
    {{ to_decimal("ceiling_price", scale=5) }} as ceiling_price,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'MARKUP_TIER'), ['table_id', 'cost_from', 'valid_from']) }} as latest
