-- Which facility may buy on which tier of a contract; an empty signed_date is a tier that is not activated;
-- effective_to is inclusive. Grain and key: contract_no, member_gln, tier, effective_from. Latest version as of the
-- run.
select
    upper(trim(contract_no)) as contract_number,
    trim(member_gln) as member_gln,
    try_cast(tier as bigint) as tier,
    {{ to_date('loc_signed_date') }} as signed_date,
    {{ to_date('effective_from') }} as effective_from,
    {{ to_date('effective_to') }} as effective_to,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_ref', 'GPO_ROSTER'),
    ['contract_no', 'member_gln', 'tier', 'effective_from']
) }} as newest
