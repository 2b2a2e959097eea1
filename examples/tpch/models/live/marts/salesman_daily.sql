-- Every salesman's day, over the whole country.

with totals as (

    select
        date,
        salesman_id,
        {{ max_text('salesman_name') }} as salesman_name,
        sum(amount) as total_sales,
        count(*) as deals_closed,
        {{ exact_avg('amount') }} as avg_deal_size
    from {{ ref('sales') }}
    group by date, salesman_id

),

cities as (

    select date, salesman_id, count(*) as cities_covered
    from {{ ref('salesman_city_daily') }}
    group by date, salesman_id

)

select
    totals.date,
    totals.salesman_id,
    totals.salesman_name,
    totals.total_sales,
    totals.deals_closed,
    totals.avg_deal_size,
    cities.cities_covered
from totals
inner join cities on totals.date = cities.date and totals.salesman_id = cities.salesman_id
