-- A salesman's day in one city: from it, totals over any range of dates and cities are exact.

select
    date,
    salesman_id,
    country,
    region,
    city,
    sum(amount) as total_sales,
    count(*) as deals_closed
from {{ ref('sales') }}
group by date, salesman_id, country, region, city
