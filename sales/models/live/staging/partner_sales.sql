-- One row an entry of the partner's service, cast once. The partner writes 21.11.2026 14:05:00 and 1.234,50.
-- reject_reason says why an entry is no sale; NULL: it is one. Cancelled entries do not come here: the source drops them.

with trimmed as (

    select
        entry_no as sale_id,
        {{ nonempty('sold_on') }} as sold_on,
        {{ nonempty('amount') }} as amount_text,
        {{ nonempty('country') }} as country,
        coalesce({{ nonempty('district') }}, '') as region,
        {{ nonempty('town') }} as city,
        {{ nonempty('agent_no') }} as salesman_id,
        coalesce({{ nonempty('agent_name') }}, '') as salesman_name,
        {{ nonempty('currency') }} as currency
    from {{ source('partner', 'entries') }}

),

translated as (

    select
        *,
        case when {{ text_matches('sold_on', '[0-9]{2}[.][0-9]{2}[.][0-9]{4}( [0-9:]{5,8})?') }}
            then substring(sold_on, 7, 4) || '-' || substring(sold_on, 4, 2) || '-' || substring(sold_on, 1, 2)
                || substring(sold_on, 11) end as iso_text,
        case when {{ text_matches('amount_text', '[+-]?([0-9]{1,3}([.][0-9]{3})+|[0-9]+)(,[0-9]+)?') }}
            then replace(replace(amount_text, '.', ''), ',', '.') end as decimal_text
    from trimmed

),

cleaned as (

    select
        *,
        {{ sale_date('iso_text', var('partner_time_zone', var('time_zone'))) }} as date,
        {{ try_decimal('decimal_text') }} as amount
    from translated

)

select
    'partner' as source,
    'entries' as source_table,
    sale_id,
    date,
    country,
    region,
    city,
    salesman_id,
    salesman_name,
    amount,
    {{ reject_reason(texts={'date': 'sold_on', 'amount': 'amount_text'}) }} as reject_reason,
    'entry_no=' || sale_id
        || ' sold_on=' || coalesce(sold_on, '')
        || ' country=' || coalesce(country, '')
        || ' district=' || region
        || ' town=' || coalesce(city, '')
        || ' agent_no=' || coalesce(salesman_id, '')
        || ' amount=' || coalesce(amount_text, '')
        || ' currency=' || coalesce(currency, '') as original
from cleaned
