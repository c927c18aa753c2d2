-- One row for each purchase order line of both ERPs; agreements and orders that were never issued are left out.
-- A legacy line whose header was not delivered is dated by its own delivery and has no supplier.
-- Grain: source_system, po_number, line_number. Key: po_line_key. Quantities in EACH are additive; price_each is not.
-- Distribution: facility_id, po_line_key.
-- po_number is as in exception keys: legacy COMPANY-PO_NUMBER-PO_RELEASE-PO_CODE, cloud Segment1. Price per EACH is the price
-- per ordering unit divided by the units of that unit (legacy EBUY_UOM_MULT, 0 means 1; cloud unit conversions).
with legacy_requested_cases as (
    select
        source.po_number,
        source.line_number,
        {{ replace_pattern("replace(upper(requisition.source_reference), 'O', '0')", '[^0-9]') }} as case_reference
    from {{ ref('stg_erp_lawson__po_line_source') }} as source
    inner join {{ ref('stg_erp_lawson__requisition_line') }} as requisition
        on source.company = requisition.company
        and source.requisition_number = requisition.requisition_number
        and source.requisition_line_number = requisition.line_number
    where {{ matches_pattern("replace(upper(requisition.source_reference), 'O', '0')", '^(CASE)?[ -]*[0-9]{8}$') }}
    qualify row_number() over (partition by source.po_number, source.line_number order by source.source_sequence) = 1
),

legacy as (
    select
        'erp_lawson' as source_system,
        facility.facility_id,
        line.po_number,
        line.line_number,
        header.supplier_no as source_supplier_no,
        line.item_no as source_item_no,
        item.item_key,
        case
            when line.po_code = 'SVC' or line.item_type = 'S' then 'service'
            when line.po_code = 'BO' then 'bill_only'
            when line.po_code = 'BR' then 'bill_and_replace'
            when line.po_code = 'BLK' then 'blanket'
            else 'regular'
        end as po_type,
        coalesce(vendor.is_evaluated_receipt, false) as is_evaluated_receipt,
        coalesce(header.order_date, {{ add_days('line.folder_date', -1) }}) as order_date,
        line.ordered_quantity,
        line.cancelled_quantity,
        line.uom,
        line.unit_price,
        line.unit_factor,
        cast({{ money_product(['line.ordered_quantity', 'line.unit_price'], rounding='half_up') }} as decimal(18, 2)) as line_amount,
        line.ordered_quantity > 0 and line.cancelled_quantity >= line.ordered_quantity as is_cancelled,
        line.is_closed,
        line.item_type = 'I' and line.po_code in ('REG', 'BLK') as is_stock_line,
        coalesce(
            line.case_reference,
            case when line.po_code in ('BO', 'BR') then requested.case_reference end
        ) as case_ref,
        line.lot_number,
        line.serial_token,
        line.vendor_catalogue_number,
        line.agreement_number as contract_number,
        cast(null as bigint) as agreement_header_id,
        cast(null as bigint) as agreement_line_id,
        line.end_date,
        cast(null as bigint) as po_line_id,
        'POLINE' as source_extract,
        concat_ws('-', line.po_number, line.line_number) as source_key,
        line.source_file,
        line.source_line
    from {{ ref('stg_erp_lawson__po_line') }} as line
    left join {{ ref('stg_erp_lawson__purchase_order') }} as header
        on line.po_number = header.po_number
    left join {{ ref('stg_erp_lawson__vendor') }} as vendor
        on header.supplier_no = vendor.supplier_no
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(line.company as varchar)
        and {{ in_force('coalesce(header.order_date, line.folder_date)', 'facility.valid_from', 'facility.valid_to') }}
    left join {{ ref('bridge_erp_item') }} as item
        on item.source_system = 'erp_lawson'
        and line.item_no = item.source_item_no
    left join legacy_requested_cases as requested
        on line.po_number = requested.po_number
        and line.line_number = requested.line_number
),

cloud_items as (
    select
        inventory_item_id,
        item_number,
        primary_uom
    from {{ ref('stg_erp_fusion__item') }}
    qualify row_number() over (partition by inventory_item_id order by organization_id) = 1
),

requested_cases as (
    select
        po_line_id,
        case_reference,
        lot_number,
        serial_token
    from {{ ref('stg_erp_fusion__requisition_line') }}
    where po_line_id is not null
    qualify
        row_number() over (partition by po_line_id order by case_reference nulls last, requisition_line_id) = 1
),

destinations as (
    select
        po_line_id,
        bool_or(destination_type = 'INVENTORY') as is_stock_line
    from {{ ref('stg_erp_fusion__po_distribution') }}
    group by po_line_id
),

agreement_items as (
    select
        agreement_header_id,
        inventory_item_id,
        max(agreement_line_id) as agreement_line_id,
        max_by(contract_number, agreement_line_id) as contract_number
    from {{ ref('stg_erp_fusion__agreement_line') }}
    group by agreement_header_id, inventory_item_id
),

schedules as (
    select
        po_line_id,
        sum(cancelled_quantity) as cancelled_quantity,
        bool_and(is_receipt_required) as is_receipt_required
    from {{ ref('stg_erp_fusion__po_schedule') }}
    group by po_line_id
),

cloud as (
    select
        'erp_fusion' as source_system,
        facility.facility_id,
        header.po_number,
        line.line_number,
        vendor.supplier_no as source_supplier_no,
        cloud_items.item_number as source_item_no,
        item.item_key,
        case
            when header.style_id = 300000100000903 or line.matching_basis = 'AMOUNT' or line.purchase_basis = 'SERVICES'
                then 'service'
            when header.style_id = 300000100000901 then 'bill_only'
            when header.style_id = 300000100000902 then 'bill_and_replace'
            when not coalesce(schedules.is_receipt_required, true) then 'service'
            else 'regular'
        end as po_type,
        coalesce(site.is_evaluated_receipt, false) as is_evaluated_receipt,
        header.order_date,
        line.ordered_quantity,
        coalesce(schedules.cancelled_quantity, 0) as cancelled_quantity,
        line.uom,
        line.unit_price,
        {{ supply_cloud_unit_factor('line.uom', 'cloud_items.primary_uom', 'own_unit', 'standard_unit') }} as unit_factor,
        cast(
            coalesce(
                case when line.matching_basis = 'AMOUNT' then line.line_amount end,
                {{ money_product(['line.ordered_quantity', 'line.unit_price'], rounding='half_up') }},
                line.line_amount
            ) as decimal(18, 2)
        ) as line_amount,
        line.line_status = 'CANCELED' or line.cancelled_at is not null or header.document_status = 'CANCELED' as is_cancelled,
        line.line_status in ('CLOSED', 'FINALLY CLOSED') or header.document_status in ('CLOSED', 'FINALLY CLOSED') as is_closed,
        coalesce(destinations.is_stock_line, false) as is_stock_line,
        coalesce(line.case_reference, requested_cases.case_reference) as case_ref,
        coalesce(line.lot_number, requested_cases.lot_number) as lot_number,
        coalesce(line.serial_token, requested_cases.serial_token) as serial_token,
        line.vendor_catalogue_number,
        coalesce(agreement_line.contract_number, agreement_item.contract_number) as contract_number,
        line.agreement_header_id,
        coalesce(line.agreement_line_id, agreement_item.agreement_line_id) as agreement_line_id,
        header.end_date,
        line.po_line_id,
        'PO_LINES' as source_extract,
        cast(line.po_line_id as varchar) as source_key,
        line.source_file,
        line.source_line
    from {{ ref('stg_erp_fusion__po_line') }} as line
    inner join {{ ref('stg_erp_fusion__po_header') }} as header
        on line.po_header_id = header.po_header_id
        and header.document_type = 'STANDARD'
        and not (header.document_status in ('INCOMPLETE', 'IN PROCESS') and header.approved_at is null)
    left join {{ ref('stg_erp_fusion__supplier') }} as vendor
        on header.vendor_id = vendor.vendor_id
    left join {{ ref('stg_erp_fusion__supplier_site') }} as site
        on header.vendor_site_id = site.vendor_site_id
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_fusion'
        and facility.id_type = 'BU'
        and facility.source_id = header.bill_to_unit_id
        and {{ in_force('header.order_date', 'facility.valid_from', 'facility.valid_to') }}
    left join cloud_items
        on line.inventory_item_id = cloud_items.inventory_item_id
    left join {{ ref('bridge_erp_item') }} as item
        on item.source_system = 'erp_fusion'
        and line.inventory_item_id = item.inventory_item_id
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as own_unit
        on line.inventory_item_id = own_unit.inventory_item_id
        and line.uom = own_unit.uom
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as standard_unit
        on standard_unit.inventory_item_id = 0
        and line.uom = standard_unit.uom
    left join schedules
        on line.po_line_id = schedules.po_line_id
    left join requested_cases
        on line.po_line_id = requested_cases.po_line_id
    left join destinations
        on line.po_line_id = destinations.po_line_id
    left join {{ ref('stg_erp_fusion__agreement_line') }} as agreement_line
        on line.agreement_line_id = agreement_line.agreement_line_id
    left join agreement_items as agreement_item
        on line.agreement_line_id is null
        and line.agreement_header_id = agreement_item.agreement_header_id
        and line.inventory_item_id = agreement_item.inventory_item_id
),

lines as (
    select * from legacy
    union all
    select * from cloud
)

select
    {{ surrogate_key(['lines.source_system', 'lines.po_number', 'lines.line_number']) }} as po_line_key,
    coalesce(lines.facility_id, 'SYS') as facility_id,
    lines.source_system,
    lines.po_number,
    lines.line_number,
    coalesce(supplier.supplier_id, lines.source_system || ':' || lines.source_supplier_no) as supplier_id,
    lines.source_supplier_no,
    lines.item_key,
    lines.source_item_no,
    lines.po_type,
    case
        when lines.po_type = 'service' then '2way'
        when lines.is_evaluated_receipt then 'ers'
        when lines.po_type in ('bill_only', 'bill_and_replace') then 'bill_only'
        else '3way'
    end as match_basis,
    lines.order_date,
    cast({{ exact_product(['lines.ordered_quantity', 'lines.unit_factor']) }} as decimal(18, 4)) as ordered_each,
    cast({{ exact_product(['lines.cancelled_quantity', 'lines.unit_factor']) }} as decimal(18, 4)) as cancelled_each,
    lines.uom,
    cast(lines.unit_factor as decimal(18, 8)) as unit_factor,
    lines.unit_price,
    cast({{ divide_decimal('lines.unit_price', 'lines.unit_factor', 8) }} as decimal(18, 8)) as price_each,
    lines.line_amount,
    lines.is_cancelled,
    lines.is_closed,
    coalesce(lines.is_stock_line, false) as is_stock_line,
    case when item.item_key is not null then item.is_implant else lines.po_type in ('bill_only', 'bill_and_replace') end
        as is_implant,
    coalesce(item.stock_class = 'CONSIGN', false) and lines.po_type not in ('bill_only', 'bill_and_replace') as is_consigned,
    lines.case_ref,
    lines.lot_number,
    lines.serial_token,
    lines.vendor_catalogue_number,
    lines.contract_number,
    lines.agreement_header_id,
    lines.agreement_line_id,
    lines.end_date,
    lines.po_line_id,
    lines.source_extract,
    lines.source_key,
    lines.source_file,
    lines.source_line
from lines
left join {{ ref('bridge_supplier_xref') }} as supplier
    on lines.source_system = supplier.source_system
    and lines.source_supplier_no = supplier.source_supplier_no
left join {{ ref('dim_item') }} as item
    on lines.item_key = item.item_key
