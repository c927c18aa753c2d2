-- One row for each journal and balancing segment: debits beside credits (GL-05).
-- Grain and key: entity_key, facility_id (one exception for each segment that does not balance). Amounts are additive.
-- Journals that are not posted are listed, not judged. Distribution: facility_id.
with journals as (
    select
        source_system,
        ledger_id,
        journal_id,
        balancing_segment,
        facility_id,
        min(posting_date) as posting_date,
        min(fiscal_period) as fiscal_period,
        min(journal_source) as journal_source,
        bool_and(is_posted) as is_posted,
        count(*) as line_count,
        sum(debit_amount) as debit_amount,
        sum(credit_amount) as credit_amount
    from {{ ref('fct_gl_journal_line') }}
    group by source_system, ledger_id, journal_id, balancing_segment, facility_id
),

largest_lines as (
    select
        line.source_system,
        line.ledger_id,
        line.journal_id,
        line.balancing_segment,
        line.facility_id,
        line.source_extract,
        line.source_key,
        line.source_file,
        line.source_line
    from {{ ref('fct_gl_journal_line') }} as line
    inner join journals
        on line.source_system = journals.source_system
        and line.ledger_id = journals.ledger_id
        and line.journal_id = journals.journal_id
        and line.balancing_segment = journals.balancing_segment
        and line.facility_id = journals.facility_id
        and journals.debit_amount <> journals.credit_amount
    qualify
        row_number() over (
            partition by line.source_system, line.ledger_id, line.journal_id, line.balancing_segment, line.facility_id
            order by line.debit_amount + line.credit_amount desc, line.line_id
        ) <= 50
),

proofs as (
    select
        source_system,
        ledger_id,
        journal_id,
        balancing_segment,
        facility_id,
        {{ evidence_items(evidence_entry('source_system', 'source_extract', 'source_key', 'source_file', 'source_line')) }} as evidence
    from largest_lines
    group by source_system, ledger_id, journal_id, balancing_segment, facility_id
)

select
    {{ surrogate_key([
        'journals.source_system', 'journals.ledger_id', 'journals.journal_id', 'journals.balancing_segment', 'journals.facility_id'
    ]) }} as journal_balance_key,
    'ledger=' || journals.ledger_id || '|journal=' || journals.journal_id as entity_key,
    journals.facility_id,
    journals.posting_date as business_date,
    journals.posting_date as anchor_date,
    journals.source_system,
    journals.ledger_id,
    journals.journal_id,
    journals.balancing_segment,
    journals.journal_source,
    journals.fiscal_period,
    journals.line_count,
    cast(journals.debit_amount as decimal(18, 2)) as debit_amount,
    cast(journals.credit_amount as decimal(18, 2)) as credit_amount,
    cast(journals.debit_amount - journals.credit_amount as decimal(18, 2)) as difference_amount,
    cast(abs(journals.debit_amount - journals.credit_amount) as decimal(18, 2)) as impact_amount,
    case when not journals.is_posted then 'journal not posted' end as out_of_scope_reason,
    '[' || coalesce(proofs.evidence, '') || ']' as evidence
from journals
left join proofs
    on journals.source_system = proofs.source_system
    and journals.ledger_id = proofs.ledger_id
    and journals.journal_id = proofs.journal_id
    and journals.balancing_segment = proofs.balancing_segment
    and journals.facility_id = proofs.facility_id
