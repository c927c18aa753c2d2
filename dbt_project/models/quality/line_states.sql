-- One row for each conformed line of the six kinds that are followed, in exactly one state.
-- Grain: line_type, line_key. Key: line_state_key. Distribution: facility_id, line_key.
-- excepted: an exception of its own fires; timing: a break has not matured, or the line waits for its first receipt; out_of_scope:
-- no rule judges it, with the reason; matched: judged, nothing found.
with lines as (
    select 'usage_line' as line_type, usage_line_key as line_key, facility_id, cast(null as varchar) as own_reason
    from {{ ref('fct_usage_line') }}
    union all
    select 'charge_chain' as line_type, charge_chain_key as line_key, facility_id, cast(null as varchar) as own_reason
    from {{ ref('fct_charge_net') }}
    union all
    select
        'po_line' as line_type,
        po_line_key as line_key,
        facility_id,
        case when is_cancelled then 'line cancelled' end as own_reason
    from {{ ref('fct_po_line') }}
    union all
    select 'receipt_line' as line_type, receipt_line_key as line_key, facility_id, not_counted_reason as own_reason
    from {{ ref('fct_receipt_line') }}
    union all
    select 'invoice_line' as line_type, invoice_line_key as line_key, facility_id, not_counted_reason as own_reason
    from {{ ref('fct_invoice_line') }}
    union all
    select
        'journal_line' as line_type,
        journal_line_key as line_key,
        facility_id,
        case when not is_posted then 'journal not posted' end as own_reason
    from {{ ref('fct_gl_journal_line') }}
),

entities as (
    select line_type, line_key, facility_id, rule_id, entity_key, out_of_scope_reason
    from {{ ref('rec_line_entity_clinical') }}
    union all
    select line_type, line_key, facility_id, rule_id, entity_key, out_of_scope_reason
    from {{ ref('rec_line_entity_supply') }}
),

verdicts as (
    select
        entities.line_type,
        entities.line_key,
        min(case when judged.status is not null and judged.status <> 'timing' then judged.rule_id end) as excepted_rule_id,
        min(case when judged.status = 'timing' then judged.rule_id end) as timing_rule_id,
        count(*) filter (where entities.out_of_scope_reason is null) as judging_rules,
        min(entities.out_of_scope_reason) as out_of_scope_reason
    from entities
    left join {{ source('judged', 'exceptions') }} as judged
        on entities.rule_id = judged.rule_id
        and entities.entity_key = judged.entity_key
        and entities.facility_id = judged.facility_id
    group by entities.line_type, entities.line_key
),

waiting_orders as (
    select po_line_key
    from {{ ref('rec_three_way') }}
    where not has_receipt and first_invoice_date is null and match_basis <> '2way'
),

stated as (
    select
        lines.line_type,
        lines.line_key,
        lines.facility_id,
        case
            when verdicts.excepted_rule_id is not null then 'excepted'
            when verdicts.timing_rule_id is not null then 'timing'
            when lines.own_reason is not null then 'out_of_scope'
            when waiting_orders.po_line_key is not null then 'timing'
            when coalesce(verdicts.judging_rules, 0) = 0 then 'out_of_scope'
            else 'matched'
        end as state,
        coalesce(verdicts.excepted_rule_id, verdicts.timing_rule_id) as rule_id,
        case
            when verdicts.excepted_rule_id is not null or verdicts.timing_rule_id is not null then null
            when lines.own_reason is not null then lines.own_reason
            when waiting_orders.po_line_key is not null then 'ordered, nothing received or billed yet'
            when coalesce(verdicts.judging_rules, 0) = 0 then coalesce(verdicts.out_of_scope_reason, 'no rule judges it')
        end as reason
    from lines
    left join verdicts
        on lines.line_type = verdicts.line_type
        and lines.line_key = verdicts.line_key
    left join waiting_orders
        on lines.line_type = 'po_line'
        and lines.line_key = waiting_orders.po_line_key
)

select
    {{ surrogate_key(['line_type', 'line_key']) }} as line_state_key,
    line_type,
    line_key,
    facility_id,
    state,
    reason,
    rule_id
from stated
