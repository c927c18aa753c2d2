-- One row for each item at a perpetual location: its balance of owned stock at the end of a business date.
-- Grain and key: entity_key (location code and inventory item). business_date is the latest date that ended below zero, else the
-- latest one delivered. All lots and serials together. Quantities in EACH. Not additive over dates. Distribution: facility_id.
with balances as (
    select
        pou_site,
        location_code,
        item_no,
        snapshot_date,
        cast(sum(on_hand_each) as decimal(18, 4)) as on_hand_each,
        max(unit_cost) as delivered_unit_cost,
        min(source_file) as source_file,
        min(source_line) as source_line
    from {{ ref('stg_pou__onhand') }}
    where owner_type = 'OWNED'
    group by pou_site, location_code, item_no, snapshot_date
),
told as (
    select
        pou_site,
        location_code,
        item_no,
        max_by(snapshot_date, (on_hand_each < 0, snapshot_date)) as snapshot_date,
        max_by(on_hand_each, (on_hand_each < 0, snapshot_date)) as on_hand_each,
        max_by(coalesce(delivered_unit_cost, 0), (on_hand_each < 0, snapshot_date)) as delivered_unit_cost,
        max_by(source_file, (on_hand_each < 0, snapshot_date)) as source_file,
        max_by(source_line, (on_hand_each < 0, snapshot_date)) as source_line
    from balances
    group by pou_site, location_code, item_no
),
placed as (
    select
        told.*,
        site.facility_id,
        location.location_id,
        location.is_asset,
        case when xref.is_accepted then xref.item_key end as item_key,
        cost_supply.supply_id
    from told
    inner join {{ ref('bridge_location_xref') }} as place
        on place.source_system = 'pou'
        and told.pou_site = place.scope
        and told.location_code = place.source_location
        and {{ in_force('told.snapshot_date', 'place.valid_from', 'place.valid_to') }}
    inner join {{ ref('dim_location') }} as location
        on place.location_id = location.location_id
        and location.is_perpetual
    left join {{ ref('bridge_facility_code') }} as site
        on site.source_system = 'pou'
        and site.id_type = 'SITE'
        and told.pou_site = site.source_id
        and {{ in_force('told.snapshot_date', 'site.valid_from', 'site.valid_to') }}
    left join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'pou'
        and told.item_no = xref.source_item_no
    left join {{ ref('bridge_pou_cost_supply') }} as cost_supply
        on told.item_no = cost_supply.item_no
    qualify row_number() over (partition by told.location_code, told.item_no order by site.valid_from desc, place.valid_from desc) = 1
),
costed as (
    select
        placed.*,
        cast(coalesce({{ unit_cost() }}, placed.delivered_unit_cost, 0) as decimal(18, 5)) as unit_cost
    from placed
    {{ unit_cost_joins('placed', 'placed.snapshot_date') | indent(4) }}
    qualify row_number() over (
        partition by placed.location_code, placed.item_no
        order by {{ unit_cost_rank() }}
    ) = 1
)
select
    {{ surrogate_key(['costed.location_code', 'costed.item_no']) }} as on_hand_key,
    'location=' || costed.location_code || '|item=' || costed.item_no as entity_key,
    costed.facility_id,
    costed.snapshot_date as business_date,
    case when costed.facility_id is null then 'site unknown' end as out_of_scope_reason,
    costed.location_id,
    costed.item_no as inventory_item,
    costed.item_key,
    costed.on_hand_each,
    costed.unit_cost,
    {{ money_product(['abs(least(costed.on_hand_each, 0))', 'costed.unit_cost']) }} as impact_amount,
    {{ evidence_json([
        evidence_entry(
            "'pou'",
            "'onhand'",
            "concat_ws('|', cast(costed.snapshot_date as varchar), costed.location_code, costed.item_no)",
            'costed.source_file',
            'costed.source_line'
        )
    ]) }} as evidence
from costed
