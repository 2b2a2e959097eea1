-- One row a line of a branch's file, cast once. reject_reason says why a line is no sale; NULL: it is one.

with cleaned as (

    select
        sale_id,
        {{ nonempty('sold_at') }} as sold_at,
        {{ nonempty('amount') }} as amount_text,
        {{ sale_date('sold_at', var('branches_time_zone', var('time_zone'))) }} as date,
        {{ nonempty('country') }} as country,
        coalesce({{ nonempty('region') }}, '') as region,
        {{ nonempty('city') }} as city,
        {{ nonempty('salesman_id') }} as salesman_id,
        coalesce({{ nonempty('salesman_name') }}, '') as salesman_name,
        {{ try_decimal('amount') }} as amount,
        {{ nonempty('currency') }} as currency
    from {{ source('branches', 'sales') }}

)

select
    'branches' as source,
    'sales' as source_table,
    sale_id,
    date,
    country,
    region,
    city,
    salesman_id,
    salesman_name,
    amount,
    {{ reject_reason(texts={'date': 'sold_at', 'amount': 'amount_text'}) }} as reject_reason,
    'sale_id=' || sale_id
        || ' sold_at=' || coalesce(sold_at, '')
        || ' country=' || coalesce(country, '')
        || ' region=' || region
        || ' city=' || coalesce(city, '')
        || ' salesman_id=' || coalesce(salesman_id, '')
        || ' amount=' || coalesce(amount_text, '')
        || ' currency=' || coalesce(currency, '') as original
from cleaned
