-- Every city's day. Readers rank: an index has each date's cities by total, greatest first.

select
    date,
    country,
    region,
    city,
    sum(amount) as total_sales,
    count(*) as transaction_count,
    {{ exact_avg('amount') }} as avg_sale,
    max(amount) as max_sale
from {{ ref('sales') }}
group by date, country, region, city
