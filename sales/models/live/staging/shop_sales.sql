-- One row an order that is not cancelled, its lines summed. reject_reason says why an order is no sale (yet); NULL: it is one.
-- LEFT JOINs, so that an order whose customer, salesman or items have not come is kept, as a rejected sale, until they do.

with lines as (

    select
        order_id,
        {{ nonempty('unit_price') }} as unit_price,
        {{ try_times(try_decimal('unit_price'), 'quantity') }} as amount
    from {{ source('shop', 'order_items') }}

),

totals as (

    select
        order_id,
        sum(amount) as amount,
        sum(case when amount is null then 1 else 0 end) as unreadable_lines,
        {{ min_text("case when amount is null then coalesce(unit_price, '') end") }} as unreadable_price
    from lines
    group by order_id

),

orders as (

    select
        o.order_id as sale_id,
        {{ business_date('o.ordered_at') }} as date,
        {{ nonempty('o.customer_id') }} as customer_id,
        {{ nonempty('o.salesman_id') }} as salesman_id,
        {{ nonempty('o.currency') }} as currency,
        c.customer_id as known_customer,
        {{ nonempty('c.country') }} as country,
        coalesce({{ nonempty('c.region') }}, '') as region,
        {{ nonempty('c.city') }} as city,
        s.salesman_id as known_salesman,
        coalesce({{ nonempty('s.salesman_name') }}, '') as salesman_name,
        t.order_id as known_total,
        t.amount,
        t.unreadable_lines,
        t.unreadable_price
    from {{ source('shop', 'orders') }} as o
    left join {{ source('shop', 'customers') }} as c on o.customer_id = c.customer_id
    left join {{ source('shop', 'salesmen') }} as s on o.salesman_id = s.salesman_id
    left join totals as t on o.order_id = t.order_id
    where coalesce(o.status, '') <> 'cancelled'

)

select
    'shop' as source,
    'orders' as source_table,
    sale_id,
    date,
    country,
    region,
    city,
    salesman_id,
    salesman_name,
    amount,
    {{ reject_reason(own=[
        ('customer_id is null', 'customer missing'),
        ('known_customer is null', 'customer not known'),
        ('salesman_id is not null and known_salesman is null', 'salesman not known'),
        ('known_total is null', 'items missing'),
        ('unreadable_lines > 0', 'amount missing, not a number, or too large'),
    ]) }} as reject_reason,
    'order_id=' || sale_id
        || ' customer_id=' || coalesce(customer_id, '')
        || ' salesman_id=' || coalesce(salesman_id, '')
        || ' currency=' || coalesce(currency, '')
        || ' city=' || coalesce(city, '')
        || coalesce(' unit_price=' || unreadable_price, '') as original
from orders
