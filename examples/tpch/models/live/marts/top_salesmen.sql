-- The best salesmen of each date. Ties are settled by id, in the order of its bytes.

with ranked as (

    select
        date,
        salesman_id,
        salesman_name,
        total_sales,
        deals_closed,
        avg_deal_size,
        cities_covered,
        row_number() over (
            partition by date
            order by total_sales desc nulls last, {{ by_bytes('salesman_id') }}
        ) as rank
    from {{ ref('salesman_daily') }}

)

select date, salesman_id, salesman_name, total_sales, deals_closed, avg_deal_size, cities_covered, rank
from ranked
where rank <= {{ var("places") }}
