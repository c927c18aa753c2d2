-- One row for each line of a supplier invoice of both ERPs that bills goods, services, freight or tax.
-- Grain: source_system, source_key. Key: invoice_line_key. quantity_each and line_amount are additive over lines that are not
-- cancelled; lines of credit memos are negative. Distribution: facility_id, po_line_key.
-- Legacy lines are match details (a PO line billed, LINE_NBR is the PO line); cloud lines are invoice lines. EACH goes by the
-- unit of the invoice (Q83): that of the order line, the item's own units, the generic factor of a unit (DZ, PR), else what the
-- match made of it. po_price_each is the order price per EACH in force on the invoice date.
with unit_codes as (
    select source_system, source_uom, uom, generic_factor
    from {{ ref('bridge_uom_code') }}
),

packages as (
    select
        item_key,
        uom,
        quantity_each,
        source_system
    from {{ ref('dim_item_package') }}
),

legacy_rows as (
    select
        detail.*,
        invoice.invoice_key,
        invoice.facility_id as invoice_facility_id,
        invoice.supplier_id as invoice_supplier_id,
        invoice.invoice_date,
        invoice.posting_date,
        invoice.invoice_amount,
        coalesce(invoice.is_cancelled, true) as is_cancelled,
        order_line.po_line_key,
        order_line.item_key,
        order_line.uom as order_uom,
        order_line.unit_factor as order_factor,
        order_line.facility_id as order_facility_id,
        coalesce(code.uom, detail.uom) as conformed_uom,
        coalesce(order_code.uom, order_line.uom) as conformed_order_uom,
        item.stock_uom,
        code.generic_factor
    from {{ ref('stg_erp_lawson__invoice_match') }} as detail
    left join (
        select *
        from {{ ref('fct_invoice') }}
        where source_system = 'erp_lawson'
        qualify
            row_number() over (
                partition by company, source_supplier_no, invoice_number order by is_cancelled, source_key desc
            ) = 1
    ) as invoice
        on detail.company = invoice.company
        and detail.supplier_no = invoice.source_supplier_no
        and detail.invoice_number = invoice.invoice_number
    left join {{ ref('fct_po_line') }} as order_line
        on order_line.source_system = 'erp_lawson'
        and detail.po_number = order_line.po_number
        and detail.po_line_number = order_line.line_number
    left join unit_codes as code
        on code.source_system = 'erp_lawson'
        and detail.uom = code.source_uom
    left join unit_codes as order_code
        on order_code.source_system = 'erp_lawson'
        and order_line.uom = order_code.source_uom
    left join {{ ref('dim_item') }} as item
        on order_line.item_key = item.item_key
),

legacy as (
    select
        'erp_lawson' as source_system,
        legacy_rows.invoice_key,
        legacy_rows.po_line_key,
        coalesce(legacy_rows.invoice_facility_id, legacy_rows.order_facility_id) as facility_id,
        legacy_rows.invoice_supplier_id as supplier_id,
        legacy_rows.supplier_no as source_supplier_no,
        legacy_rows.invoice_number,
        legacy_rows.po_line_number as invoice_line_number,
        'ITEM' as line_type,
        legacy_rows.invoice_date,
        legacy_rows.posting_date,
        legacy_rows.invoice_amount,
        case
            when coalesce(legacy_rows.distributed_amount, 0) <> 0
                then sign(legacy_rows.distributed_amount) * abs(legacy_rows.quantity)
            when legacy_rows.invoice_amount < 0 then -abs(legacy_rows.quantity)
            else legacy_rows.quantity
        end as quantity,
        legacy_rows.uom,
        case
            when legacy_rows.conformed_uom = legacy_rows.conformed_order_uom then legacy_rows.order_factor
            when legacy_rows.conformed_uom = legacy_rows.stock_uom then 1
            else coalesce(
                own_package.quantity_each,
                other_package.quantity_each,
                legacy_rows.generic_factor,
                {{ divide_decimal(
                    exact_product(['abs(legacy_rows.matched_quantity)', 'legacy_rows.order_factor']),
                    'nullif(abs(legacy_rows.quantity), 0)',
                    8
                ) }},
                legacy_rows.order_factor,
                1
            )
        end as unit_factor,
        legacy_rows.unit_price,
        cast(null as decimal(18, 2)) as line_amount,
        coalesce(legacy_rows.conformed_uom <> legacy_rows.conformed_order_uom, false) as is_other_uom,
        legacy_rows.is_cancelled,
        case when legacy_rows.is_cancelled then 'invoice cancelled' end as not_counted_reason,
        legacy_rows.sequence_number,
        'MAINVDTL' as source_extract,
        concat_ws(
            '|', legacy_rows.company, legacy_rows.supplier_no, legacy_rows.invoice_number, legacy_rows.po_number,
            legacy_rows.po_line_number, legacy_rows.sequence_number
        ) as source_key,
        legacy_rows.source_file,
        legacy_rows.source_line
    from legacy_rows
    left join packages as own_package
        on legacy_rows.item_key = own_package.item_key
        and legacy_rows.conformed_uom = own_package.uom
        and own_package.source_system = 'erp_lawson'
    left join (
        select item_key, uom, max(quantity_each) as quantity_each
        from packages
        where source_system <> 'erp_lawson'
        group by item_key, uom
        having count(distinct quantity_each) = 1
    ) as other_package
        on legacy_rows.item_key = other_package.item_key
        and legacy_rows.conformed_uom = other_package.uom
),

cloud as (
    select
        'erp_fusion' as source_system,
        invoice.invoice_key,
        order_line.po_line_key,
        coalesce(invoice.facility_id, order_line.facility_id) as facility_id,
        invoice.supplier_id,
        invoice.source_supplier_no,
        invoice.invoice_number,
        line.line_number as invoice_line_number,
        line.line_type,
        invoice.invoice_date,
        coalesce(line.posting_date, invoice.posting_date) as posting_date,
        invoice.invoice_amount,
        case when line.line_amount <> 0 then sign(line.line_amount) * abs(line.quantity) else line.quantity end as quantity,
        coalesce(line.uom, order_line.uom) as uom,
        case
            when line.uom is null or line.uom = order_line.uom then order_line.unit_factor
            when coalesce(code.uom, line.uom) = coalesce(order_code.uom, order_line.uom) then order_line.unit_factor
            when own_unit.conversion_rate > 0 then own_unit.conversion_rate
            when coalesce(code.uom, line.uom) = item.stock_uom then 1
            else coalesce(package.quantity_each, nullif(standard_unit.conversion_rate, 0), code.generic_factor, order_line.unit_factor, 1)
        end as unit_factor,
        line.unit_price,
        line.line_amount,
        coalesce(coalesce(code.uom, line.uom) <> coalesce(order_code.uom, order_line.uom), false) as is_other_uom,
        coalesce(invoice.is_cancelled, true) or line.is_discarded or line.is_cancelled as is_cancelled,
        case
            when line.is_discarded then 'line discarded'
            when line.is_cancelled then 'line cancelled'
            when coalesce(invoice.is_cancelled, true) then 'invoice cancelled'
        end as not_counted_reason,
        cast(null as bigint) as sequence_number,
        'AP_INVOICE_LINES' as source_extract,
        concat_ws('|', line.invoice_id, line.line_number) as source_key,
        line.source_file,
        line.source_line
    from {{ ref('stg_erp_fusion__invoice_line') }} as line
    inner join {{ ref('fct_invoice') }} as invoice
        on invoice.source_system = 'erp_fusion'
        and line.invoice_id = invoice.invoice_id
    left join {{ ref('stg_erp_fusion__po_schedule') }} as schedule
        on line.line_location_id = schedule.line_location_id
    left join {{ ref('fct_po_line') }} as order_line
        on order_line.source_system = 'erp_fusion'
        and coalesce(line.po_line_id, schedule.po_line_id) = order_line.po_line_id
    left join {{ ref('stg_erp_fusion__po_line') }} as source_order_line
        on order_line.po_line_id = source_order_line.po_line_id
    left join {{ ref('dim_item') }} as item
        on order_line.item_key = item.item_key
    left join unit_codes as code
        on code.source_system = 'erp_fusion'
        and line.uom = code.source_uom
    left join unit_codes as order_code
        on order_code.source_system = 'erp_fusion'
        and order_line.uom = order_code.source_uom
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as own_unit
        on source_order_line.inventory_item_id = own_unit.inventory_item_id
        and line.uom = own_unit.uom
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as standard_unit
        on standard_unit.inventory_item_id = 0
        and line.uom = standard_unit.uom
    left join (
        select item_key, uom, max(quantity_each) as quantity_each
        from packages
        group by item_key, uom
        having count(distinct quantity_each) = 1
    ) as package
        on order_line.item_key = package.item_key
        and coalesce(code.uom, line.uom) = package.uom
),

lines as (
    select * from legacy
    union all
    select * from cloud
),

priced as (
    select
        lines.*,
        price.price_each as po_price_each
    from lines
    left join {{ ref('fct_po_line_price') }} as price
        on lines.po_line_key = price.po_line_key
    qualify
        row_number() over (
            partition by lines.source_system, lines.source_key
            order by
                case when price.valid_from <= lines.invoice_date then 0 else 1 end,
                case when price.valid_from <= lines.invoice_date then price.price_version end desc,
                price.price_version
        ) = 1
)

select
    {{ surrogate_key(['source_system', 'source_key']) }} as invoice_line_key,
    invoice_key,
    po_line_key,
    coalesce(facility_id, 'SYS') as facility_id,
    source_system,
    supplier_id,
    source_supplier_no,
    invoice_number,
    invoice_line_number,
    line_type,
    invoice_date,
    posting_date,
    invoice_amount,
    cast(quantity as decimal(18, 4)) as quantity,
    uom,
    cast(unit_factor as decimal(18, 8)) as unit_factor,
    cast({{ exact_product(['quantity', 'unit_factor']) }} as decimal(18, 4)) as quantity_each,
    unit_price,
    cast({{ divide_decimal('unit_price', 'unit_factor', 8) }} as decimal(18, 8)) as price_each,
    po_price_each,
    coalesce(line_amount, {{ money_product(['quantity', 'unit_price'], rounding='half_up') }}) as line_amount,
    is_other_uom,
    is_cancelled,
    not_counted_reason,
    source_extract,
    source_key,
    source_file,
    source_line
from priced
