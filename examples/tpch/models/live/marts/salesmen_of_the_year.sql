-- The best salesmen of each year. Ties are settled by id, in the order of its bytes.

with years as (

    select
        cast(extract(year from date) as bigint) as year,
        salesman_id,
        sum(total_sales) as total_sales,
        sum(deals_closed) as deals_closed
    from {{ ref('salesman_daily') }}
    group by cast(extract(year from date) as bigint), salesman_id

),

ranked as (

    select
        year,
        salesman_id,
        total_sales,
        deals_closed,
        row_number() over (
            partition by year
            order by total_sales desc nulls last, {{ by_bytes('salesman_id') }}
        ) as rank
    from years

)

select year, salesman_id, total_sales, deals_closed, rank
from ranked
where rank <= {{ var("places") }}
