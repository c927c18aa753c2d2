-- One row for each natural account of a ledger and the control role it plays, with its validity.
-- Grain: source_system, natural_account, sub_account, valid_from. Key: account_key. Not additive. Distribution: broadcast.
-- Legacy accounts take their role from the mapping; cloud accounts by segment 3, from the mapping and, for accounts the
-- legacy chart does not have, from the standard chart of the health system (landscape section 6).
with standard_chart as (
    select *
    from (
        values
            ('111000', 'CASH', 'A', 'Cash'),
            ('121000', 'PATIENT_AR', 'A', 'Patient accounts receivable'),
            ('141000', 'INV_ASSET', 'A', 'Inventory'),
            ('141200', 'RCV_CLEARING', 'A', 'Received, not delivered'),
            ('141500', 'IN_TRANSIT', 'A', 'Shipments on the road'),
            ('181000', 'DUE_FROM', 'A', 'Claims on hospitals'),
            ('199500', 'CONV_CLEARING', 'A', 'Cutover clearing'),
            ('199900', 'SUSPENSE', 'A', 'Unmapped account strings'),
            ('211000', 'AP_CONTROL', 'L', 'Payables'),
            ('212000', 'GRNI', 'L', 'Received, not invoiced'),
            ('212500', 'BILLONLY_ACCRUAL', 'L', 'Implants used, not on an order'),
            ('281000', 'DUE_TO', 'L', 'Debts to the distribution centre'),
            ('311000', 'FUND_BALANCE', 'E', 'Equity'),
            ('411000', 'PATIENT_REV_IP', 'R', 'Gross inpatient charges'),
            ('412000', 'PATIENT_REV_OP', 'R', 'Gross outpatient and emergency charges'),
            ('421000', 'DEDUCTIONS', 'R', 'Contractual and other adjustments'),
            ('611000', 'SUPPLY_EXP', 'X', 'Supplies'),
            ('612000', 'IMPLANT_EXP', 'X', 'Implants'),
            ('619000', 'PPV', 'X', 'Purchase price variance'),
            ('619100', 'TOLERANCE', 'X', 'Invoice differences inside tolerance'),
            ('619500', 'INV_ADJ', 'X', 'Count and manual adjustments'),
            ('619600', 'OBSOLESCENCE', 'X', 'Expired and recalled'),
            ('621000', 'FREIGHT', 'X', 'Inbound freight'),
            ('621500', 'TAX', 'X', 'Tax charged by suppliers'),
            ('631000', 'PURCH_SERVICE', 'X', 'Purchased services')
    ) as chart (conformed_account, account_role, account_type, description)
),

legacy as (
    select
        'erp_lawson' as source_system,
        legacy_account as natural_account,
        legacy_sub as sub_account,
        conformed_account,
        account_role,
        account_type,
        description,
        valid_from,
        valid_to
    from {{ ref('stg_ref__coa_map') }}
    where status = 'mapped'
),

cloud as (
    select
        'erp_fusion' as source_system,
        cloud_account as natural_account,
        cast(null as varchar) as sub_account,
        min(conformed_account) as conformed_account,
        min(account_role) as account_role,
        min(account_type) as account_type,
        min(description) as description,
        cast('1900-01-01' as date) as valid_from,
        cast(null as date) as valid_to
    from {{ ref('stg_ref__coa_map') }}
    where status = 'mapped'
    group by cloud_account
    union all
    select
        'erp_fusion' as source_system,
        standard_chart.conformed_account as natural_account,
        cast(null as varchar) as sub_account,
        standard_chart.conformed_account,
        standard_chart.account_role,
        standard_chart.account_type,
        standard_chart.description,
        cast('1900-01-01' as date) as valid_from,
        cast(null as date) as valid_to
    from standard_chart
    left join {{ ref('stg_ref__coa_map') }} as mapped
        on standard_chart.conformed_account = mapped.cloud_account
        and mapped.status = 'mapped'
    where mapped.cloud_account is null
)

select
    {{ surrogate_key(['source_system', 'natural_account', 'sub_account', 'valid_from']) }} as account_key,
    source_system,
    natural_account,
    sub_account,
    conformed_account,
    account_role,
    account_type,
    description,
    valid_from,
    valid_to
from (
    select * from legacy
    union all
    select * from cloud
) as accounts
