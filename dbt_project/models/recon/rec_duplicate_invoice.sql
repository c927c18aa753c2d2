-- One row for each invoice that looks like an earlier one of the same supplier family, in either ERP (M3-07).
-- Grain and key: entity_key, facility_id: the later invoice (by invoice date, creation date, source key). impact_amount additive.
-- Compared is the number as the supplier sent it: entered again under another suffix it is the same invoice.
-- (a) equal number, upper case, punctuation and leading zeros gone, O as 0 and I or L as 1 where most characters are digits, and
-- equal signed amount; (b) equal signed amount, dates within 7 days, numbers that also differ by a trailing revision (a letter, CR,
-- INV, DUP). An invoice that was credited in full between the two was billed again: no duplicate. Distribution: supplier family.
with invoices as (
    select
        invoice_key,
        source_system,
        facility_id,
        supplier_id,
        supplier_family_id,
        source_supplier_no,
        invoice_number,
        invoice_date,
        created_date,
        invoice_amount,
        source_extract,
        source_key,
        source_file,
        source_line,
        row_number() over (order by source_system, company, invoice_id, source_supplier_no, invoice_number) as entry_place,
        {{ supply_alike(supply_invoice_alnum('sent_number')) }} as number_key,
        {{ supply_alike(supply_without_revision(supply_invoice_alnum('sent_number'))) }} as base_number_key
    from {{ ref('fct_invoice') }}
    where not is_cancelled and invoice_amount <> 0
),

pairs as (
    select
        later.invoice_key,
        earlier.invoice_key as earlier_invoice_key,
        earlier.source_system as earlier_system,
        earlier.source_supplier_no as earlier_supplier_no,
        earlier.invoice_number as earlier_number,
        earlier.invoice_date as earlier_date,
        earlier.facility_id as earlier_facility_id,
        earlier.source_extract as earlier_extract,
        earlier.source_key as earlier_key,
        earlier.source_file as earlier_file,
        earlier.source_line as earlier_line,
        case when later.number_key = earlier.number_key then 'same number' else 'same number but for a revision' end as match_reason
    from invoices as later
    inner join invoices as earlier
        on later.supplier_family_id = earlier.supplier_family_id
        and later.invoice_amount = earlier.invoice_amount
        and later.invoice_key <> earlier.invoice_key
        and (
            later.number_key = earlier.number_key
            or (
                (
                    later.base_number_key = earlier.base_number_key
                    or later.base_number_key = earlier.number_key
                    or later.number_key = earlier.base_number_key
                )
                and abs({{ day_difference('earlier.invoice_date', 'later.invoice_date') }}) <= 7
            )
        )
    where
        earlier.invoice_date < later.invoice_date
        or (
            earlier.invoice_date = later.invoice_date
            and (
                coalesce(earlier.created_date, earlier.invoice_date) < coalesce(later.created_date, later.invoice_date)
                or (
                    coalesce(earlier.created_date, earlier.invoice_date) = coalesce(later.created_date, later.invoice_date)
                    and (
                        earlier.entry_place < later.entry_place
                    )
                )
            )
        )
),

counted as (
    select
        invoice_key,
        count(*) as earlier_count,
        min(earlier_date) as earliest_date
    from pairs
    group by invoice_key
),

credited as (
    select
        later.invoice_key,
        count(*) as credit_count
    from counted
    inner join invoices as later
        on counted.invoice_key = later.invoice_key
    inner join invoices as credit
        on later.supplier_family_id = credit.supplier_family_id
        and later.invoice_amount > 0
        and credit.invoice_amount = -later.invoice_amount
        and credit.invoice_date between counted.earliest_date and later.invoice_date
    group by later.invoice_key
),

first_pairs as (
    select *
    from pairs
    qualify
        row_number() over (partition by invoice_key order by earlier_date, earlier_system, earlier_key) = 1
)

select
    {{ surrogate_key(['later.source_system', 'later.source_supplier_no', 'later.invoice_number', 'later.facility_id']) }}
        as duplicate_invoice_key,
    'system=' || later.source_system || '|supplier=' || later.source_supplier_no || '|invoice=' || later.invoice_number as entity_key,
    later.facility_id,
    later.invoice_date as business_date,
    later.invoice_date as anchor_date,
    later.invoice_key,
    later.supplier_id,
    later.invoice_amount,
    cast(abs(later.invoice_amount) as decimal(18, 2)) as impact_amount,
    first_pairs.earlier_system || '/' || first_pairs.earlier_supplier_no || '/' || first_pairs.earlier_number as matched_invoice,
    first_pairs.match_reason,
    case
        when coalesce(credited.credit_count, 0) >= counted.earlier_count then 'invoice, full credit and rebill'
        when
            first_pairs.earlier_system <> later.source_system
            and first_pairs.earlier_facility_id = later.facility_id
            then 'posted in both ERPs for one facility: MIG-01'
    end as out_of_scope_reason,
    {{ evidence_json([
        evidence_entry('later.source_system', 'later.source_extract', 'later.source_key', 'later.source_file', 'later.source_line'),
        evidence_entry(
            'first_pairs.earlier_system', 'first_pairs.earlier_extract', 'first_pairs.earlier_key', 'first_pairs.earlier_file',
            'first_pairs.earlier_line'
        )
    ]) }} as evidence
from first_pairs
inner join invoices as later
    on first_pairs.invoice_key = later.invoice_key
inner join counted
    on first_pairs.invoice_key = counted.invoice_key
left join credited
    on first_pairs.invoice_key = credited.invoice_key
qualify
    row_number() over (
        partition by later.source_system, later.source_supplier_no, later.invoice_number, later.facility_id
        order by later.source_key desc
    ) = 1
