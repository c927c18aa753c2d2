-- One row for each day, location, item, lot, serial and owner: the balance at 23:59.
-- Grain and key: snapshot_date, pou_site, location_code, item_no, lot_number, serial_token, owner_type. Latest version as of the run.
select
    {{ to_date("snapshot_date") }} as snapshot_date,
    site as pou_site,
    trim(location_code) as location_code,
    trim(item_no) as item_no,
    lot as lot_number,
    serial as serial_token,
    trim(expiry_date) as expiry_text,
    owner_type as owner_type,
    {{ to_decimal("qty_each") }} as on_hand_each,
    {{ to_decimal("allocated_each") }} as allocated_each,
    {{ to_decimal("on_order_each") }} as on_order_each,
    {{ to_decimal("unit_cost", scale=5) }} as unit_cost,
    {{ to_decimal("par_each") }} as par_each,
    {{ to_decimal("reorder_point_each") }} as reorder_point_each,
    {{ to_decimal("max_each") }} as maximum_each,
    try_cast(last_counted_at as timestamp) as last_counted_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_pou', 'onhand'), ['snapshot_date', 'site', 'location_code', 'item_no', 'lot', 'serial', 'owner_type'], cursor='snapshot_date', few_versions=true) }} as latest
