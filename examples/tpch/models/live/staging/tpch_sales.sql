-- One row an order, at the sum of its lines' discounted prices. reject_reason says why it is no sale (yet); NULL: it is one.
-- A price and a discount have two decimals each, so their product has four: nothing is rounded. With more, each line is, once.

with lines as (

    select
        l_orderkey,
        {{ try_times(try_decimal('l_extendedprice'), '1 - ' ~ try_rate('l_discount')) }} as amount
    from {{ source('tpch', 'lineitem') }}

),

totals as (

    select
        l_orderkey,
        sum(amount) as amount,
        sum(case when amount is null then 1 else 0 end) as unreadable_lines
    from lines
    group by l_orderkey

),

customers as (

    select
        c.c_custkey,
        coalesce({{ nonempty('r.r_name') }}, '') as region,
        {{ nonempty('n.n_name') }} as nation
    from {{ source('tpch', 'customer') }} as c
    left join {{ source('tpch', 'nation') }} as n on c.c_nationkey = n.n_nationkey
    left join {{ source('tpch', 'region') }} as r on n.n_regionkey = r.r_regionkey

),

orders as (

    select
        o.o_orderkey as sale_id,
        o.o_orderdate as date,
        'World' as country,
        c.region,
        c.nation as city,
        {{ nonempty('o.o_clerk') }} as salesman_id,
        t.amount,
        '{{ var("currency") }}' as currency,
        o.o_custkey,
        c.c_custkey as known_customer,
        t.l_orderkey as known_lines,
        t.unreadable_lines
    from {{ source('tpch', 'orders') }} as o
    left join customers as c on o.o_custkey = c.c_custkey
    left join totals as t on o.o_orderkey = t.l_orderkey

)

select
    'tpch' as source,
    'orders' as source_table,
    sale_id,
    date,
    country,
    region,
    city,
    salesman_id,
    salesman_id as salesman_name,
    amount,
    {{ reject_reason(own=[
        ('known_customer is null', 'customer not known'),
        ('known_lines is null', 'lines missing'),
        ('unreadable_lines > 0', 'price or discount missing, not a number, or too large'),
    ]) }} as reject_reason,
    'o_orderkey=' || cast(sale_id as text)
        || ' o_custkey=' || coalesce(cast(o_custkey as text), '')
        || ' o_clerk=' || coalesce(salesman_id, '') as original
from orders
