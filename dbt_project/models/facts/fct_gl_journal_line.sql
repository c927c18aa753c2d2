-- One row for each general ledger line of both ERPs.
-- Grain: source_system, journal_id with its ledger, line_id. Key: journal_line_key. Amounts are additive over posted lines.
-- Ledger, journal and line are as in exception keys. fiscal_period is the calendar month of the ledger's own period: legacy
-- period 1 is October and 13 belongs to September (Q84), the cloud year starts in July and Adj belongs to June.
-- Distribution: facility_id, ledger_id.
with legacy as (
    select
        'erp_lawson' as source_system,
        facility.facility_id,
        cast(line.company as varchar) as ledger_id,
        line.journal_id,
        line.line_number as line_id,
        line.account_number || '-' || line.sub_account as natural_account,
        account.account_role,
        concat_ws('-', line.account_unit, line.account_number, line.sub_account) as account_string,
        cost_centre.cost_centre_id as cost_centre,
        line.posting_date,
        coalesce(period.fiscal_period, {{ calendar_month('line.posting_date') }}) as fiscal_period,
        case when line.amount > 0 then line.amount else 0 end as debit_amount,
        case when line.amount < 0 then -line.amount else 0 end as credit_amount,
        line.system_code as journal_source,
        coalesce(line.source_code, line.system_code) as journal_category,
        line.system_code = 'GL' and coalesce(line.source_code = 'JE', false) as is_manual,
        line.is_posted,
        cast(line.company as varchar) as balancing_segment,
        line.batch_reference,
        'GLTRANS' as source_extract,
        concat_ws('-', line.company, line.journal_id, line.line_number) as source_key,
        line.source_file,
        line.source_line
    from {{ ref('stg_erp_lawson__gl_transaction') }} as line
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(line.company as varchar)
        and {{ in_force('line.posting_date', 'facility.valid_from', 'facility.valid_to') }}
    left join {{ ref('dim_account') }} as account
        on account.source_system = 'erp_lawson'
        and line.account_number = account.natural_account
        and line.sub_account = account.sub_account
        and {{ in_force('line.posting_date', 'account.valid_from', 'account.valid_to') }}
    left join {{ ref('bridge_cost_centre_xref') }} as cost_centre
        on cost_centre.source_system = 'erp_lawson'
        and cost_centre.scope = cast(line.company as varchar)
        and line.account_unit = cost_centre.source_code
        and {{ in_force('line.posting_date', 'cost_centre.valid_from', 'cost_centre.valid_to') }}
    left join {{ ref('dim_fiscal_period') }} as period
        on period.calendar_id = 'LEGACY_OCT_SEP'
        and line.fiscal_year = period.fiscal_year
        and line.period_number = period.period_num
),

cloud as (
    select
        'erp_fusion' as source_system,
        facility.facility_id,
        header.ledger_id,
        cast(header.journal_header_id as varchar) as journal_id,
        line.line_number as line_id,
        combination.natural_account,
        account.account_role,
        combination.account_string,
        cost_centre.cost_centre_id as cost_centre,
        coalesce(line.effective_date, header.posting_date) as posting_date,
        coalesce(period.fiscal_period, {{ calendar_month('header.posting_date') }}) as fiscal_period,
        line.debit_amount,
        line.credit_amount,
        header.journal_source,
        header.journal_category,
        header.journal_source = 'Manual' and header.journal_category <> 'Accrual' as is_manual,
        header.is_posted,
        combination.company_segment as balancing_segment,
        cast(null as varchar) as batch_reference,
        'GL_JE_LINES' as source_extract,
        concat_ws('-', line.journal_header_id, line.line_number) as source_key,
        line.source_file,
        line.source_line
    from {{ ref('stg_erp_fusion__journal_line') }} as line
    inner join {{ ref('stg_erp_fusion__journal_header') }} as header
        on line.journal_header_id = header.journal_header_id
        and header.is_actual
    left join {{ ref('stg_erp_fusion__code_combination') }} as combination
        on line.code_combination_id = combination.code_combination_id
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_fusion'
        and facility.id_type = 'SEGMENT1'
        and facility.source_id = combination.company_segment
        and {{ in_force('header.posting_date', 'facility.valid_from', 'facility.valid_to') }}
    left join {{ ref('dim_account') }} as account
        on account.source_system = 'erp_fusion'
        and combination.natural_account = account.natural_account
    left join {{ ref('bridge_cost_centre_xref') }} as cost_centre
        on cost_centre.source_system = 'erp_fusion'
        and cost_centre.scope = combination.company_segment
        and combination.cost_centre_segment = cost_centre.source_code
        and {{ in_force('header.posting_date', 'cost_centre.valid_from', 'cost_centre.valid_to') }}
    left join {{ ref('dim_fiscal_period') }} as period
        on period.calendar_id = 'CLOUD_JUL_JUN'
        and header.period_name = period.period_name
),

lines as (
    select * from legacy
    union all
    select * from cloud
)

select
    {{ surrogate_key(['source_system', 'ledger_id', 'journal_id', 'line_id']) }} as journal_line_key,
    coalesce(facility_id, 'SYS') as facility_id,
    source_system,
    ledger_id,
    journal_id,
    line_id,
    account_role,
    natural_account,
    account_string,
    cost_centre,
    posting_date,
    fiscal_period,
    cast(debit_amount as decimal(18, 2)) as debit_amount,
    cast(credit_amount as decimal(18, 2)) as credit_amount,
    cast(debit_amount - credit_amount as decimal(18, 2)) as net_amount,
    journal_source,
    journal_category,
    is_manual,
    is_posted,
    coalesce(balancing_segment, '') as balancing_segment,
    batch_reference,
    source_extract,
    source_key,
    source_file,
    source_line
from lines
