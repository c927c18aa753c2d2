-- One row for each documented item of a case: what was used or wasted beside what left the shelf for it.
-- Grain and key: entity_key (case and documented item). Judged is owned stock from perpetual locations. Issues of the same golden
-- item at the site, net of returns: first those tagged to the case, then untagged ones within a day of the surgery that no other
-- case has taken. Cases take them by surgery date and log, from the earliest issue on; halves of transfers are no issues.
-- quantities in EACH. Not additive with fct_usage_line. Distribution: facility_id, item_key.
with recursive
lines as (
    select
        *,
        row_number() over (partition by case_id, documented_item order by {{ usage_line_order() }}) as line_rank
    from (
        select
            line.*,
            case
                when not line.is_countable then 'log void or not completed'
                when not line.is_posted then 'log not posted'
                when line.facility_id is null or line.surgery_date is null then 'site or surgery date unknown'
                when feed.facility_id is null then 'no inventory movements delivered for the site'
                when line.stock_class = 'ONE_TIME' then 'one-time implant: BO-01 judges it'
                when line.item_key is null then 'item not mapped: MDM-01 judges it'
                when not line.is_owned then 'bill-only or consigned: BO-01 judges it'
                when location.location_id is null then 'no stock location'
                when location.location_type = 'CONSIGN_CLOSET' then 'consigned stock'
                when not location.is_perpetual then 'expensed location'
            end as line_out_of_scope_reason
        from {{ ref('fct_usage_line') }} as line
        left join {{ ref('dim_location') }} as location
            on line.location_id = location.location_id
        left join (select distinct facility_id from {{ ref('fct_inventory_txn') }}) as feed
            on line.facility_id = feed.facility_id
        where line.documented_item is not null
    ) as documented
),
used as (
    select
        case_id,
        documented_item,
        max(facility_id) as facility_id,
        max(surgery_date) as surgery_date,
        max(item_key) as item_key,
        bool_or(is_implant) as is_implant,
        case when count(*) filter (where line_out_of_scope_reason is null) = 0 then min_by(line_out_of_scope_reason, line_rank) end
            as out_of_scope_reason,
        cast(
            coalesce(sum(quantity_each) filter (where line_out_of_scope_reason is null), sum(quantity_each))
            as decimal(18, 4)
        ) as used_each,
        coalesce(
            min_by(unit_cost, line_rank) filter (where line_out_of_scope_reason is null),
            min_by(unit_cost, line_rank)
        ) as unit_cost
    from lines
    group by case_id, documented_item
),
judged as (
    select * from used where out_of_scope_reason is null
),
issues as (
    select
        facility_id,
        item_key,
        case_typed,
        case_id,
        -quantity_each as issued_each,
        business_date,
        txn_at,
        txn_id,
        source_system,
        source_extract,
        source_key,
        source_file,
        source_line
    from {{ ref('fct_inventory_txn') }}
    where movement in ('ISSUE', 'CONSIGN_USE', 'WASTE', 'RETURN')
        and not is_transfer_half
        and item_key is not null
),
tagged as (
    select facility_id, item_key, case_id, greatest(sum(issued_each), 0) as issued_each
    from issues
    where case_id is not null
    group by facility_id, item_key, case_id
),
-- what tagged issues cover, documented item after documented item
covered as (
    select
        judged.*,
        least(
            judged.used_each,
            greatest(
                coalesce(tagged.issued_each, 0) - coalesce(
                    sum(judged.used_each) over (
                        partition by judged.case_id, judged.item_key
                        order by judged.documented_item
                        rows between unbounded preceding and 1 preceding
                    ),
                    0
                ),
                0
            )
        ) as tagged_each
    from judged
    left join tagged
        on judged.facility_id = tagged.facility_id
        and judged.item_key = tagged.item_key
        and judged.case_id = tagged.case_id
),
-- untagged issues as stretches of a running total; returns take back the latest issue before them
untagged_flow as (
    select
        *,
        sum(issued_each) over to_here as flow_each
    from issues
    where case_typed is null
    window to_here as (
        partition by facility_id, item_key order by txn_at, txn_id rows between unbounded preceding and current row
    )
),
untagged_balance as (
    select
        *,
        flow_each - least(min(flow_each) over to_here, 0) as balance_each
    from untagged_flow
    window to_here as (
        partition by facility_id, item_key order by txn_at, txn_id rows between unbounded preceding and current row
    )
),
untagged as (
    select
        *,
        greatest(min(balance_each) over from_here - (balance_each - issued_each), 0) as free_each
    from untagged_balance
    window from_here as (
        partition by facility_id, item_key order by txn_at, txn_id rows between current row and unbounded following
    )
),
free_issues as (
    select
        facility_id,
        item_key,
        business_date,
        sum(free_each) over (
            partition by facility_id, item_key order by txn_at, txn_id rows between unbounded preceding and current row
        ) as to_each
    from untagged
    where issued_each > 0
        and free_each > 0
),
wanting as (
    select
        covered.case_id,
        covered.documented_item,
        covered.facility_id,
        covered.item_key,
        covered.used_each - covered.tagged_each as wanted_each,
        coalesce(
            max(free_issues.to_each) filter (where free_issues.business_date < {{ add_days('covered.surgery_date', -1) }}), 0
        ) as window_from_each,
        coalesce(
            max(free_issues.to_each) filter (where free_issues.business_date <= {{ add_days('covered.surgery_date', 1) }}), 0
        ) as window_to_each,
        row_number() over (
            partition by covered.facility_id, covered.item_key
            order by covered.surgery_date, covered.case_id, covered.documented_item
        ) as turn
    from covered
    inner join free_issues
        on covered.facility_id = free_issues.facility_id
        and covered.item_key = free_issues.item_key
    where covered.used_each > covered.tagged_each
    group by
        covered.case_id,
        covered.documented_item,
        covered.facility_id,
        covered.item_key,
        covered.surgery_date,
        covered.used_each,
        covered.tagged_each
),
-- each case in turn takes the earliest issues of its window that are left: a stretch of the running total
turns as (
    select
        facility_id,
        item_key,
        case_id,
        documented_item,
        turn,
        cast(window_from_each as decimal(38, 4)) as taken_from_each,
        cast(greatest(window_from_each, least(window_from_each + wanted_each, window_to_each)) as decimal(38, 4)) as taken_to_each
    from wanting
    where turn = 1
    union all
    select
        wanting.facility_id,
        wanting.item_key,
        wanting.case_id,
        wanting.documented_item,
        wanting.turn,
        cast(greatest(turns.taken_to_each, wanting.window_from_each) as decimal(38, 4)),
        cast(
            greatest(
                greatest(turns.taken_to_each, wanting.window_from_each),
                least(greatest(turns.taken_to_each, wanting.window_from_each) + wanting.wanted_each, wanting.window_to_each)
            ) as decimal(38, 4)
        )
    from turns
    inner join wanting
        on turns.facility_id = wanting.facility_id
        and turns.item_key = wanting.item_key
        and wanting.turn = turns.turn + 1
),
compared as (
    select
        used.case_id,
        used.documented_item,
        used.facility_id,
        used.item_key,
        used.surgery_date,
        used.is_implant,
        used.out_of_scope_reason,
        used.used_each,
        coalesce(covered.tagged_each, 0) + coalesce(turns.taken_to_each - turns.taken_from_each, 0) as issued_each,
        used.unit_cost
    from used
    left join covered
        on used.case_id = covered.case_id
        and used.documented_item = covered.documented_item
    left join turns
        on used.case_id = turns.case_id
        and used.documented_item = turns.documented_item
),
missing as (
    select case_id, documented_item, facility_id, item_key
    from compared
    where out_of_scope_reason is null
        and used_each > issued_each
),
usage_evidence as (
    select
        lines.case_id,
        lines.documented_item,
        {{ evidence_of('lines') }} as items
    from lines
    inner join missing
        on lines.case_id = missing.case_id
        and lines.documented_item = missing.documented_item
    group by lines.case_id, lines.documented_item
),
issue_evidence as (
    select
        missing.case_id,
        missing.documented_item,
        {{ evidence_of('issues') }} as items
    from missing
    inner join issues
        on missing.facility_id = issues.facility_id
        and missing.item_key = issues.item_key
        and missing.case_id = issues.case_id
    group by missing.case_id, missing.documented_item
)
select
    {{ surrogate_key(['compared.case_id', 'compared.documented_item']) }} as usage_inventory_key,
    'case=' || compared.case_id || '|item=' || compared.documented_item as entity_key,
    compared.facility_id,
    compared.surgery_date as business_date,
    compared.out_of_scope_reason,
    compared.case_id,
    compared.documented_item,
    compared.item_key,
    compared.is_implant,
    compared.used_each,
    cast(case when compared.out_of_scope_reason is null then compared.issued_each else 0 end as decimal(18, 4)) as issued_each,
    cast(
        case when compared.out_of_scope_reason is null then compared.used_each - compared.issued_each else 0 end
        as decimal(18, 4)
    ) as missing_each,
    cast(compared.unit_cost as decimal(18, 5)) as unit_cost,
    case
        when compared.out_of_scope_reason is null
            then {{ money_product(['compared.used_each - compared.issued_each', 'cast(compared.unit_cost as decimal(18, 5))']) }}
        else cast(0 as decimal(18, 2))
    end as impact_amount,
    compared.surgery_date as anchor_date,
    case when stock.facility_id is not null then 2 else 1 end as maturity_days,
    {{ evidence_json(['usage_evidence.items', 'issue_evidence.items']) }} as evidence
from compared
left join usage_evidence
    on compared.case_id = usage_evidence.case_id
    and compared.documented_item = usage_evidence.documented_item
left join issue_evidence
    on compared.case_id = issue_evidence.case_id
    and compared.documented_item = issue_evidence.documented_item
left join {{ ref('stg_ref__system_of_record') }} as stock
    on stock.process = 'stock'
    and stock.source_system = 'mmis'
    and compared.facility_id = stock.facility_id
    and {{ in_force('compared.surgery_date', 'stock.valid_from', 'stock.valid_to') }}
